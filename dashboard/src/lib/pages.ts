import type { Changes, JobRow } from './coalesce'

/** A page of a list that is read by key; `next` is the key of the page after it, null at the end. */
export interface Page<Row> {
  rows: Row[]
  next: unknown
}

/** What is loaded of a list, with the newest first page; null where so much is new that the two do not meet. */
export function withHead<Row>(loaded: Page<Row>, head: Page<Row>, idOf: (row: Row) => unknown): Page<Row> | null {
  if (head.next === null) return head
  const fresh = new Set(head.rows.map(idOf))
  let meets = -1
  loaded.rows.forEach((row, index) => {
    if (fresh.has(idOf(row))) meets = index
  })
  if (meets < 0) return loaded.rows.length === 0 ? head : null
  const rest = loaded.rows.slice(meets + 1)
  return { rows: [...head.rows, ...rest], next: rest.length > 0 ? loaded.next : head.next }
}

/** Rows of a list of jobs after changes: known ones with their new values, deleted ones gone, new ones left out. */
export function patched<Row extends { id: number }>(rows: Row[], { changes }: Changes): Row[] {
  const byId = new Map(changes.map((change) => [change.row.id, change]))
  let isChanged = false
  const result: Row[] = []
  for (const row of rows) {
    const change = byId.get(row.id)
    if (change) isChanged = true
    if (!change) result.push(row)
    else if (change.type !== 'DELETE') result.push(overlaid(row, change.row))
  }
  return isChanged ? result : rows
}

/** A row with the values of another where it has the columns; jsonb that was read as text stays text. */
export function overlaid<Row extends object>(row: Row, newer: JobRow): Row {
  const result = { ...row } as Record<string, unknown>
  for (const [column, value] of Object.entries(newer)) {
    if (column in result && (value === null || typeof value !== 'object')) result[column] = value
  }
  return result as Row
}
