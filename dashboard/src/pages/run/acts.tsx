import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { answer, supabase } from '../../data/client'
import { useAct } from '../../data/queries'
import { changeJob, runJobNow, type Run } from '../../data/runs'
import { right, useTenancy, type Right } from '../../data/session'
import { go } from '../../lib/urls'
import { Button } from '../../ui/basics'
import { Confirm } from '../../ui/dialog'
import { useCommands } from '../../ui/keys'
import { showDone } from '../../ui/toast'
import { Replay } from './replay'

const ENDED = ['completed', 'failed', 'cancelled']

/** Whether this person may act on the run's job, which need not be of the workspace that is open. */
export function useRightTo(run: Run): Right {
  const { workspaces, workspace, canWrite } = useTenancy()
  if (run.workspace_id === workspace) return canWrite
  return right(workspaces.find((one) => one.id === run.workspace_id), ['editor', 'admin'])
}

/** Whether this person may make a new job of the run's handler. */
function useRightToReplay(run: Run, canAct: Right): Right {
  const handler = run.job.handler
  const { data } = useQuery({
    queryKey: ['exposed', handler],
    staleTime: 60_000,
    queryFn: async ({ signal }) =>
      await answer(supabase.from('job_handlers').select('exposed').eq('name', handler).limit(1).abortSignal(signal)) as { exposed: boolean }[],
  })
  const isHidden = canAct.isAllowed && data?.[0]?.exposed === false
  return isHidden ? { isAllowed: false, why: 'Its handler is not exposed: jobs of it are written with the service key.' } : canAct
}

export function Acts({ run }: { run: Run }) {
  const [asks, setAsks] = useState<'cancel' | 'replay' | null>(null)
  const canAct = useRightTo(run)
  const canReplay = useRightToReplay(run, canAct)
  const touches = [['run', run.id], ['runs']]
  const isGoing = run.completed_at === null
  const job = run.scheduled_job_id
  const again = useAct<boolean, string>({
    act: (rehearses) => runJobNow(job, rehearses),
    touches,
    done: (id, rehearses) => {
      showDone(rehearses ? 'A rehearsal is queued.' : 'A run is queued.')
      go(`/runs/${id}`)
    },
  })
  const retry = useAct<null, unknown>({
    act: () => changeJob('retry_job', job),
    touches,
    done: () => showDone('The job runs again, at once or by its schedule.'),
  })
  const cancel = useAct<boolean, void>({
    act: async (keepsSchedule) => {
      await changeJob('cancel_job', job)
      if (keepsSchedule) await changeJob('retry_job', job)
    },
    touches,
    done: (_, keepsSchedule) => showDone(keepsSchedule ? 'The run is stopped; the schedule goes on.' : 'The job is cancelled.'),
  })
  const mayRetry = ENDED.includes(run.job.status)
  const runAgain = (rehearses: boolean) => again.mutate(rehearses)
  const cancelJob = (keepsSchedule: boolean) => cancel.mutate(keepsSchedule, { onSettled: () => setAsks(null) })
  useCommands([
    { title: 'Run again now', key: 'r', run: () => runAgain(false), why: canAct.why },
    { title: 'Rehearse', run: () => runAgain(true), why: canAct.why },
    { title: 'Replay with another payload', run: () => setAsks('replay'), why: canReplay.why },
    ...(isGoing ? [{ title: 'Cancel the run', run: () => setAsks('cancel'), why: canAct.why }] : []),
  ])
  return (
    <>
      {isGoing && <Button icon="stop" kind="danger" right={canAct} onClick={() => setAsks('cancel')}>Cancel</Button>}
      <Button icon="edit" right={canReplay} onClick={() => setAsks('replay')}>Replay…</Button>
      <Button icon="play" right={canAct} isBusy={again.isPending} title="A run in which the handler changes nothing outside" onClick={() => runAgain(true)}>Rehearse</Button>
      {mayRetry
        ? <Button icon="retry" kind="primary" right={canAct} isBusy={retry.isPending} onClick={() => retry.mutate(null)}>Retry the job</Button>
        : <Button icon="retry" kind="primary" right={canAct} isBusy={again.isPending} onClick={() => runAgain(false)}>Run again</Button>}
      {asks === 'cancel' && <CancelQuestion run={run} isBusy={cancel.isPending} onConfirm={cancelJob} onClose={() => setAsks(null)} />}
      {asks === 'replay' && <Replay run={run} onClose={() => setAsks(null)} />}
    </>
  )
}

interface CancelProps {
  run: Run
  isBusy: boolean
  onConfirm: (keepsSchedule: boolean) => void
  onClose: () => void
}

function CancelQuestion({ run, isBusy, onConfirm, onClose }: CancelProps) {
  const recurs = run.job.trigger_type !== 'once' && run.cause === 'schedule'
  const [keeps, setKeeps] = useState(recurs)
  return (
    <Confirm title="Cancel this run?" confirm="Cancel the run" isDanger isBusy={isBusy} onConfirm={() => onConfirm(recurs && keeps)} onClose={onClose}>
      <p>Its handler is stopped, and so is every other run of the job that goes on or waits.</p>
      {recurs && (
        <label className="check">
          <input type="checkbox" checked={keeps} onChange={(event) => setKeeps(event.currentTarget.checked)} /> The schedule goes on with its next instant
        </label>
      )}
    </Confirm>
  )
}
