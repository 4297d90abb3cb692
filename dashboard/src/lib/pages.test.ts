import { expect, test } from 'vitest'
import { overlaid, patched, withHead } from './pages'

const idOf = (row: { id: number }) => row.id
const page = (ids: number[], next: unknown = null) => ({ rows: ids.map((id) => ({ id })), next })
const update = (row: { id: number } & Record<string, unknown>) => ({ changes: [{ type: 'UPDATE' as const, row }], isPartial: false })

test('a new first page goes before what is loaded behind it', () => {
  expect(withHead(page([5, 4, 3, 2], 'after 2'), page([7, 6, 5], 'after 5'), idOf)).toEqual(page([7, 6, 5, 4, 3, 2], 'after 2'))
})

test('rows that the new first page no longer has are gone', () => {
  expect(withHead(page([5, 4, 3, 2], 'after 2'), page([5, 3], 'after 3'), idOf)).toEqual(page([5, 3, 2], 'after 2'))
})

test('a first page that is everything is everything', () => {
  expect(withHead(page([5, 4], null), page([4], null), idOf)).toEqual(page([4], null))
})

test('a first page that does not meet what is loaded says so', () => {
  expect(withHead(page([3, 2], 'x'), page([9, 8], 'after 8'), idOf)).toBeNull()
})

test('the place behind the last page stays, unless the first page is all that is left', () => {
  expect(withHead(page([3, 2], 'after 2'), page([4, 3, 2], 'newer after 2'), idOf)?.next).toBe('newer after 2')
})

test('a change reaches the row that is shown, and no other', () => {
  const rows = [{ id: 1, status: 'scheduled' }, { id: 2, status: 'scheduled' }]
  expect(patched(rows, update({ id: 2, status: 'running', secret: 1 }))).toEqual([rows[0], { id: 2, status: 'running' }])
  expect(patched(rows, update({ id: 3, status: 'running' }))).toBe(rows)
})

test('a deleted row is gone', () => {
  expect(patched([{ id: 1 }], { changes: [{ type: 'DELETE', row: { id: 1 } }], isPartial: false })).toEqual([])
})

test('jsonb from Realtime, whose numbers are rounded, is not taken', () => {
  expect(overlaid({ id: 1, metadata: '{"n":9007199254740993}' }, { id: 1, metadata: { n: 9007199254740992 } })).toEqual({
    id: 1, metadata: '{"n":9007199254740993}',
  })
})
