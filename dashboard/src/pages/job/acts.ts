import { useQueryClient } from '@tanstack/react-query'
import { answer, supabase } from '../../data/client'
import { useAct } from '../../data/queries'
import { useTenancy, type Right } from '../../data/session'
import type { JobStatus } from '../../data/types'
import { go } from '../../lib/urls'
import { actLater, showDone, showRefusal } from '../../ui/toast'
import type { JobRow } from '../job-edit/row'
import { titleOf } from '../jobs/list'

export type Act = 'run' | 'rehearse' | 'pause' | 'resume' | 'cancel' | 'retry' | 'delete'

const RPC: Partial<Record<Act, { name: string; done: string }>> = {
  pause: { name: 'pause_job', done: 'Paused' },
  resume: { name: 'resume_job', done: 'Resumed' },
  cancel: { name: 'cancel_job', done: 'Cancelled' },
  retry: { name: 'retry_job', done: 'Scheduled again' },
}

const STATUSES: Partial<Record<Act, JobStatus[]>> = {
  pause: ['scheduled', 'running'],
  resume: ['paused'],
  cancel: ['scheduled', 'running', 'paused'],
  retry: ['completed', 'failed', 'cancelled'],
}

/** What an act has to know of a job. */
export type ActingJob = Pick<JobRow, 'id' | 'job_id' | 'name' | 'status' | 'source' | 'queued_runs'>

/** Whether the state machine, and the person's role, allow an act; if not, why. */
export function rightTo(act: Act, job: Pick<JobRow, 'status' | 'source' | 'queued_runs'>, canWrite: Right): Right {
  if (!canWrite.isAllowed) return canWrite
  if (act === 'delete' && job.source) return { isAllowed: false, why: 'It follows a row of a source: delete that.' }
  const statuses = STATUSES[act]
  if (act === 'cancel' && job.queued_runs > 0) return canWrite // of a job that has ended, the runs that wait
  if (statuses && !statuses.includes(job.status)) return { isAllowed: false, why: `The job is ${job.status}.` }
  return canWrite
}

/** What one can do with a job, besides editing it. */
export function useJobActs(job: ActingJob) {
  const queries = useQueryClient()
  const { canWrite } = useTenancy()
  const touches = [['job', job.id], ['job runs', job.id], ['jobs']]
  const move = useAct({
    touches,
    act: (act: Act) => answer(supabase.rpc(RPC[act]?.name ?? '', { job: job.id })),
    done: (_, act) => showDone(RPC[act]?.done ?? ''),
  })
  const run = useAct({
    touches,
    act: (rehearses: boolean) => answer<string | null>(supabase.rpc('run_job_now', { job: job.id, test_mode: rehearses })),
    done: (id, rehearses) => showDone(rehearses ? 'A rehearsal is queued' : 'A run is queued', { label: 'Show', press: () => go(`/runs/${id}`) }),
  })
  const remove = () => {
    go('/jobs')
    actLater(`${titleOf(job)} will be deleted, with its runs and logs`, () => {
      const request = supabase.from('scheduled_jobs').delete().eq('id', job.id).select('id')
      void answer<{ id: number }[] | null>(request).then((rows) => {
        if (rows.length === 0) throw new Error('The job was not deleted: it is gone already, or not yours to delete')
      }).catch((fault: unknown) => showRefusal(fault)).finally(() => void queries.invalidateQueries({ queryKey: ['jobs'] }))
    })
  }
  return {
    isBusy: move.isPending || run.isPending,
    right: (act: Act) => rightTo(act, job, canWrite),
    canEdit: job.source ? { isAllowed: false, why: 'It follows a row of a source: change that.' } : canWrite,
    do: (act: Act) => {
      if (act === 'run' || act === 'rehearse') run.mutate(act === 'rehearse')
      else if (act === 'delete') remove()
      else move.mutate(act)
    },
  }
}
