import type { Changes } from '../../lib/coalesce'
import { patched } from '../../lib/pages'
import type { JobListRow } from './list'

/**
 * Rows after changes, with jobs that were just inserted at the top, so that they show before the list is read again.
 *
 * `top` is the newest job that is shown: the list comes in pages, and only the first one begins with it.
 */
export function withNew(rows: JobListRow[], changes: Changes, top: number | undefined): JobListRow[] {
  const result = patched(rows, changes)
  if (rows[0]?.id !== top) return result
  const inserted = changes.changes.filter(({ type, row }) => type === 'INSERT' && row.id > (top ?? 0)).map(({ row }) => row)
  if (inserted.length === 0) return result
  return [...inserted.sort((a, b) => b.id - a.id) as unknown as JobListRow[], ...result]
}
