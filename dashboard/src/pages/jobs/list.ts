import { useQuery } from '@tanstack/react-query'
import { useRef } from 'react'
import { answer, supabase } from '../../data/client'
import { useLivePages, useLiveQuery } from '../../data/queries'
import type { Instant, JobStatus, TriggerType } from '../../data/types'
import { patched } from '../../lib/pages'
import { isNarrowed, type JobFilter, narrowed } from './filter'
import { withNew } from './fresh'

export interface JobListRow {
  id: number
  job_id: string
  name: string | null
  handler: string
  status: JobStatus
  trigger_type: TriggerType
  schedule: Record<string, unknown>
  timezone: string
  next_run_at: Instant | null
  last_run_at: Instant | null
  last_run_status: string | null
  created_by: string | null
  progress: number | null
  error: string | null
  source: string | null
  queued_runs: number
}

const COLUMNS =
  'id,job_id,name,handler,status,trigger_type,schedule,timezone,next_run_at,last_run_at,last_run_status,created_by,progress,error,source,queued_runs'
const PAGE = 50
const MOST_OUTCOMES = 200
/** Of more jobs than that, the outcomes of so many at the top are read again, and those at the end. */
const HEAD = 50

export const titleOf = (job: { name: string | null; job_id: string }): string => job.name || job.job_id

export function useJobs(filter: JobFilter, workspace: string | null, user: string) {
  const top = useRef<number | undefined>(undefined)
  const showsAll = !isNarrowed(filter) && filter.order === 'new'
  const list = useLivePages<JobListRow>({
    queryKey: ['jobs', workspace, filter],
    idOf: (job) => job.id,
    patch: showsAll ? (rows, changes) => withNew(rows, changes, top.current) : patched,
    fetchPage: async (after, signal) => {
      const last = after as JobListRow | null
      let request = narrowed(supabase.from('scheduled_jobs').select(COLUMNS), filter, workspace, user)
      if (filter.order === 'next') {
        if (last) request = request.gte('next_run_at', last.next_run_at).or(dueAfter(last))
        request = request.order('next_run_at').order('id')
      } else {
        if (last) request = request.lt('id', last.id)
        request = request.order('id', { ascending: false })
      }
      const rows = await answer<JobListRow[] | null>(request.limit(PAGE).abortSignal(signal))
      return { rows, next: rows.length === PAGE ? rows.at(-1) : null }
    },
  })
  top.current = list.rows[0]?.id
  return list
}

const dueAfter = ({ next_run_at: at, id }: JobListRow): string => `next_run_at.gt."${at}",and(next_run_at.eq."${at}",id.gt.${id})`

export interface JobOutcomes {
  outcomes: string[]
  p50_ms: number | null
  p95_ms: number | null
}

/** The last outcomes of these jobs; those of more than 200 are read as they are needed, and kept. */
export function useOutcomes(ids: number[]): Map<number, JobOutcomes> {
  const known = useRef(new Map<number, JobOutcomes>())
  const wanted = ids.length > MOST_OUTCOMES ? [...ids.slice(0, HEAD), ...ids.slice(HEAD - MOST_OUTCOMES)] : ids
  const members = new Set(wanted)
  const { data } = useLiveQuery({
    queryKey: ['outcomes', wanted],
    queryFn: async ({ signal }) => {
      const found = await answer<Record<string, JobOutcomes> | null>(supabase.rpc('job_outcomes', { jobs: wanted }).abortSignal(signal))
      return Object.entries(found)
    },
    enabled: wanted.length > 0,
    keepPrevious: true,
    every: 60_000,
    touchedBy: ({ changes }) => changes.some(({ row }) => members.has(row.id) && row.status !== 'running'),
  })
  for (const [id, outcomes] of data ?? []) known.current.set(Number(id), outcomes)
  return known.current
}

/** The names of the handlers in the catalogue, for facets. */
export function useHandlerNames(): string[] {
  const { data } = useQuery({
    queryKey: ['handler names'],
    queryFn: ({ signal }) => answer<{ name: string }[] | null>(supabase.from('job_handlers').select('name').order('name').abortSignal(signal)),
    staleTime: 60_000,
  })
  return (data ?? []).map(({ name }) => name)
}

/** The ids of the jobs of a filter that `bulk_jobs` does not know, the first so many. */
export async function idsOf(filter: JobFilter, workspace: string | null, user: string, most: number): Promise<number[]> {
  const ids: number[] = []
  for (;;) {
    let request = narrowed(supabase.from('scheduled_jobs').select('id'), filter, workspace, user)
    if (ids.length > 0) request = request.lt('id', ids.at(-1))
    const rows = await answer<{ id: number }[] | null>(request.order('id', { ascending: false }).limit(Math.min(1000, most - ids.length)))
    ids.push(...rows.map(({ id }) => id))
    if (rows.length === 0 || ids.length >= most) return ids
  }
}
