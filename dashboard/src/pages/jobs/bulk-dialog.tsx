import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useRef, useState } from 'react'
import { count, plural } from '../../lib/format'
import { Button, ErrorNote, Skeleton } from '../../ui/basics'
import { Dialog } from '../../ui/dialog'
import { showDone, showRefusal } from '../../ui/toast'
import { actOnAll, BULK_ACTS, type BulkAct, type BulkCount, countOf } from './bulk'

interface BulkDialogProps {
  act: BulkAct
  /** The filter of `bulk_jobs`; may have to be asked for. */
  filterOf: () => Promise<Record<string, unknown>>
  /** What the filter names, in words: "3 selected jobs". */
  what: string
  onClose: (isDone: boolean) => void
}

/** Counts what an act on many jobs would do, and does it once somebody agreed. */
export function BulkDialog({ act, filterOf, what, onClose }: BulkDialogProps) {
  const { title, isDestructive, done } = BULK_ACTS[act]
  const queries = useQueryClient()
  const [progress, setProgress] = useState<number | null>(null)
  const isStopped = useRef(false)
  const { data, error, refetch } = useQuery({
    queryKey: ['bulk count', act, what],
    queryFn: async () => {
      const filter = await filterOf()
      return { filter, dry: await countOf(act, filter) }
    },
    staleTime: 0,
    gcTime: 0,
  })
  const willChange = data ? data.dry.matched - data.dry.skipped : 0
  const close = () => {
    isStopped.current = true
    onClose(false)
  }
  const run = async () => {
    if (!data) return
    setProgress(0)
    try {
      const changed = await actOnAll(act, data.filter, (soFar) => {
        setProgress(soFar)
        return !isStopped.current
      })
      showDone(`${plural(changed, 'job')} ${done}`)
      onClose(true)
    } catch (fault) {
      showRefusal(fault)
      setProgress(null)
      void refetch()
    } finally {
      void queries.invalidateQueries({ queryKey: ['jobs'] })
    }
  }
  return (
    <Dialog title={`${title}: ${what}`} onClose={close}>
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {!data && !error && <Skeleton rows={2} height={20} />}
      {data && <Counted act={act} count={data.dry} />}
      {progress !== null && (
        <p role="status">
          <progress max={Math.max(willChange, 1)} value={progress} /> {count(progress)} of {count(willChange)} {done}
        </p>
      )}
      <div className="dialog-acts">
        <Button onClick={close}>{progress === null ? 'Close' : 'Stop'}</Button>
        <Button kind={isDestructive ? 'danger' : 'primary'} disabled={willChange === 0} isBusy={progress !== null} onClick={() => void run()}>
          {title} {data ? plural(willChange, 'job') : ''}
        </Button>
      </div>
    </Dialog>
  )
}

function Counted({ act, count: { matched, skipped } }: { act: BulkAct; count: BulkCount }) {
  const { done, skipped: why, isDestructive } = BULK_ACTS[act]
  const willChange = matched - skipped
  const isCut = matched >= 100_000
  return (
    <div className="dialog-text">
      <p>
        <strong>{plural(willChange, 'job')}</strong> of {isCut ? 'more than ' : ''}{count(matched)} will be {done}.
      </p>
      {skipped > 0 && <p className="muted">{count(skipped)} {skipped === 1 ? 'is' : 'are'} left out: {why}.</p>}
      {act === 'delete' && willChange > 0 && <p className="bad">Their runs and logs go with them. This cannot be undone.</p>}
      {act === 'cancel' && willChange > 0 && <p className="muted">Runs that go on are stopped.</p>}
      {matched === 0 && <p className="muted">No job that you may change matches any more.</p>}
      {!isDestructive && act === 'run_now' && willChange > 100 && <p className="warn">They are due at once; the listeners run them as they have room.</p>}
    </div>
  )
}
