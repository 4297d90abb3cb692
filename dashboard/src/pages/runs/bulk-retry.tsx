import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { bulkJobs, type BulkAnswer } from '../../data/runs'
import { count, plural } from '../../lib/format'
import { ErrorNote, Skeleton } from '../../ui/basics'
import { Confirm } from '../../ui/dialog'
import { showDone } from '../../ui/toast'

interface BulkRetryProps {
  title: string
  /** Of `bulk_jobs`. */
  filter: Record<string, unknown>
  onClose: (isDone: boolean) => void
}

/** Asks before jobs are retried, with the number that it would be; those that still have a schedule can run besides. */
export function BulkRetry({ title, filter, onClose }: BulkRetryProps) {
  const queries = useQueryClient()
  const [alsoScheduled, setAlsoScheduled] = useState(false)
  const [done, setDone] = useState(0)
  const scheduled = { ...filter, status: 'scheduled' }
  const { data, error, refetch } = useQuery({
    queryKey: ['bulk retry', filter],
    queryFn: async () => ({ ended: await bulkJobs('retry', filter, true), scheduled: await bulkJobs('run_now', scheduled, true) }),
    gcTime: 0,
  })
  const act = useMutation<number, Error>({
    mutationFn: async () => {
      setDone(0)
      let changed = await each('retry', filter, setDone)
      if (alsoScheduled) changed += await each('run_now', scheduled, (number) => setDone(changed + number))
      return changed
    },
    meta: { showsRefusal: true },
    onSuccess: (changed) => {
      showDone(`${plural(changed, 'job')} will run again.`)
      onClose(true)
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['runs'] }),
  })
  const nothing = data && data.ended.changed === 0 && !alsoScheduled
  return (
    <Confirm
      title={title} confirm={act.isPending ? `Retrying, ${count(done)} so far` : 'Retry'} isBusy={act.isPending || !data || Boolean(nothing)}
      onConfirm={() => act.mutate()} onClose={() => onClose(false)}
    >
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {!data && !error && <Skeleton rows={2} height={20} />}
      {data && <p>{shown(data.ended)} ended and will run again, at once or by their schedule.</p>}
      {data && data.scheduled.changed > 0 && (
        <label className="check">
          <input type="checkbox" checked={alsoScheduled} onChange={(event) => setAlsoScheduled(event.currentTarget.checked)} />
          {' '}Also run {shown(data.scheduled)} now that go on by their schedule
        </label>
      )}
      {act.error && <ErrorNote error={act.error} />}
    </Confirm>
  )
}

function shown({ changed, more }: BulkAnswer): string {
  return more ? `more than ${plural(changed, 'job')}` : plural(changed, 'job')
}

async function each(action: 'retry' | 'run_now', filter: Record<string, unknown>, progress: (changed: number) => void): Promise<number> {
  let changed = 0
  let after: number | null = null
  for (;;) {
    const answer: BulkAnswer = await bulkJobs(action, after === null ? filter : { ...filter, after }, false)
    changed += answer.changed
    progress(changed)
    if (!answer.more || answer.changed === 0 || answer.last === null) return changed
    after = answer.last
  }
}
