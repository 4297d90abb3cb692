import { expect, test } from 'vitest'
import type { Changes } from '../../lib/coalesce'
import { withNew } from './fresh'
import type { JobListRow } from './list'

const rows = (...ids: number[]) => ids.map((id) => ({ id, status: 'scheduled' })) as JobListRow[]
const changes = (...inserted: number[]): Changes => ({
  changes: inserted.map((id) => ({ type: 'INSERT' as const, row: { id, status: 'scheduled' } })), isPartial: false,
})
const ids = (list: JobListRow[]) => list.map(({ id }) => id)

test('what was just inserted is at the top of the first page, and in no other', () => {
  expect(ids(withNew(rows(9, 8), changes(10, 11), 9))).toEqual([11, 10, 9, 8])
  expect(ids(withNew(rows(7, 6), changes(10, 11), 9))).toEqual([7, 6])
  expect(ids(withNew([], changes(1), undefined))).toEqual([1])
})

test('a job that the list has already does not come twice', () => {
  expect(ids(withNew(rows(9, 8), changes(9), 9))).toEqual([9, 8])
})
