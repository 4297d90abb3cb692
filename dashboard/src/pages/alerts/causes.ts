import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { answer, supabase } from '../../data/client'
import { namesOf } from '../../data/job-names'
import type { AlertRow } from './data'

interface Causes {
  /** The names of the jobs, by job. */
  names: ReadonlyMap<number, string | null>
  /** The errors of the newest runs that alerts tell of, by run. */
  errors: ReadonlyMap<string, string>
}

/** As many ids as fit into an address. */
const MOST = 100
const NONE: Causes = { names: new Map(), errors: new Map() }

/** The name of each alert's job, and the error of its newest run, of the first hundred; empty until they are there. */
export function useCauses(all: AlertRow[]): Causes {
  const alerts = all.slice(0, MOST)
  const jobs = [...new Set(alerts.map((alert) => alert.scheduled_job_id).filter((id) => id !== null))].sort()
  const runs = [...new Set(alerts.map((alert) => alert.last_execution_id).filter((id) => id !== null))].sort()
  const { data } = useQuery<Causes>({
    queryKey: ['causes', jobs, runs],
    enabled: jobs.length > 0 || runs.length > 0,
    staleTime: 60_000,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const [names, failed] = await Promise.all([
        namesOf(jobs, signal),
        answer(supabase.from('job_executions').select('id,error').in('id', runs).not('error', 'is', null).abortSignal(signal)),
      ])
      return { names, errors: new Map(failed.map(({ id, error }) => [id as string, error as string])) }
    },
  })
  return data ?? NONE
}
