import { answer, supabase } from '../../data/client'

export type BulkAct = 'run_now' | 'pause' | 'resume' | 'retry' | 'cancel' | 'delete'

export interface BulkCount {
  matched: number
  changed: number
  skipped: number
  more: boolean
  last: number | null
}

interface Wording {
  title: string
  /** As in "3 jobs will be …". */
  done: string
  skipped: string
  isDestructive: boolean
}

export const BULK_ACTS: Record<BulkAct, Wording> = {
  run_now: { title: 'Run now', done: 'run', skipped: '', isDestructive: false },
  pause: { title: 'Pause', done: 'paused', skipped: 'neither scheduled nor running', isDestructive: false },
  resume: { title: 'Resume', done: 'resumed', skipped: 'not paused', isDestructive: false },
  retry: { title: 'Retry', done: 'retried', skipped: 'neither completed, failed nor cancelled', isDestructive: false },
  cancel: { title: 'Cancel', done: 'cancelled', skipped: 'at their end already', isDestructive: true },
  delete: { title: 'Delete', done: 'deleted', skipped: 'those of sources, which their source deletes', isDestructive: true },
}

const CALL = 1_000
const MOST = 5_000

type Filter = Record<string, unknown>

function call(action: BulkAct, filter: Filter, max_jobs: number, dry_run: boolean): Promise<BulkCount> {
  return answer<BulkCount | null>(supabase.rpc('bulk_jobs', { action, filter, max_jobs, dry_run }))
}

/** What the act would do, without doing it. */
export const countOf = (action: BulkAct, filter: Filter): Promise<BulkCount> => call(action, filter, MOST, true)

/** Does it, a thousand jobs at a time; says after each call how many it were. Returns how many in all. */
export async function actOnAll(action: BulkAct, filter: Filter, onProgress: (changed: number) => boolean): Promise<number> {
  let changed = 0
  let after: number | null = null
  for (;;) {
    const part: BulkCount = await call(action, after === null ? filter : { ...filter, after }, CALL, false)
    changed += part.changed
    if (!onProgress(changed) || !part.more || part.last === null) return changed
    after = part.last
  }
}
