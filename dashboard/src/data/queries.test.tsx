import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createElement, type ReactNode } from 'react'
import { createRoot, type Root } from 'react-dom/client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Changes } from '../lib/coalesce'
import { patched, type Page } from '../lib/pages'
import { useLivePages, useLiveQuery, type LivePagesResult } from './queries'

const bus = vi.hoisted(() => ({ listeners: new Set<(changes: Changes) => void>() }))
vi.mock('./session', () => ({ useSession: () => ({ state: 'in' }) }))
vi.mock('./live', () => ({
  usePolls: () => true,
  onChanges: (listener: (changes: Changes) => void) => {
    bus.listeners.add(listener)
    return () => bus.listeners.delete(listener)
  },
}))

type Row = { id: number; status: string }
const update = (row: Row): Changes => ({ changes: [{ type: 'UPDATE', row }], isPartial: false })
const send = (changes: Changes) => bus.listeners.forEach((listener) => listener(changes))
const rows = (...ids: number[]): Row[] => ids.map((id) => ({ id, status: 'scheduled' }))
let root: Root

beforeEach(() => void vi.useFakeTimers())
afterEach(async () => {
  root.unmount()
  await vi.advanceTimersByTimeAsync(500) // what Preact has scheduled must not wait for a clock that is gone
  vi.useRealTimers()
})

async function shown(use: () => ReactNode): Promise<void> {
  const Shown = () => use()
  root = createRoot(document.createElement('div'))
  root.render(createElement(QueryClientProvider, { client: new QueryClient() }, createElement(Shown)))
  await vi.advanceTimersByTimeAsync(100)
}

test('a change patches what is shown at once, and many ask for little', async () => {
  let data: Row[] | undefined
  const read = vi.fn(async () => rows(1, 2))
  await shown(() => {
    data = useLiveQuery({ queryKey: ['jobs'], queryFn: read, patch: patched }).data
    return null
  })
  send(update({ id: 2, status: 'running' }))
  await vi.advanceTimersByTimeAsync(0)
  expect(data?.[1]?.status).toBe('running')
  read.mockClear()
  for (let i = 0; i < 40; i++) {
    send(update({ id: 1, status: 'running' }))
    await vi.advanceTimersByTimeAsync(250)
  }
  expect(read.mock.calls.length).toBeGreaterThan(2)
  expect(read.mock.calls.length).toBeLessThanOrEqual(6)
})

test('a query is read again every 15 seconds though nothing is heard', async () => {
  const read = vi.fn(async () => rows(1))
  await shown(() => (useLiveQuery({ queryKey: ['jobs'], queryFn: read }), null))
  await vi.advanceTimersByTimeAsync(45_500)
  expect(read.mock.calls.length).toBe(4)
})

async function list(pages: Record<string, Page<Row>>, holds = false) {
  const result: { now: LivePagesResult<Row> } = { now: undefined as never }
  const fetchPage = vi.fn(async (after: unknown) => pages[String(after)] ?? { rows: [], next: null })
  await shown(() => {
    result.now = useLivePages<Row>({ queryKey: ['list'], fetchPage, idOf: (row) => row.id, patch: patched, holds })
    return null
  })
  return { result, fetchPage }
}

const idsOf = (result: { now: LivePagesResult<Row> }) => result.now.rows.map((row) => row.id)

test('of a list that is scrolled only the first page is read again', async () => {
  const pages: Record<string, Page<Row>> = { null: { rows: rows(4, 3), next: 3 }, 3: { rows: rows(2, 1), next: null } }
  const { result, fetchPage } = await list(pages)
  result.now.loadMore()
  await vi.advanceTimersByTimeAsync(100)
  expect(idsOf(result)).toEqual([4, 3, 2, 1])
  fetchPage.mockClear()
  pages.null = { rows: rows(5, 4), next: 4 }
  await vi.advanceTimersByTimeAsync(15_000)
  expect(fetchPage.mock.calls.map(([after]) => after)).toEqual([null])
  expect(idsOf(result)).toEqual([5, 4, 3, 2, 1])
})

test('new rows wait where the reader is not to be moved', async () => {
  const pages: Record<string, Page<Row>> = { null: { rows: rows(2, 1), next: 1 } }
  const { result } = await list(pages, true)
  pages.null = { rows: [...rows(4, 3), { id: 2, status: 'failed' }], next: 2 }
  await vi.advanceTimersByTimeAsync(15_000)
  expect([idsOf(result), result.now.fresh, result.now.rows[0]?.status]).toEqual([[2, 1], 2, 'failed'])
  result.now.showFresh()
  await vi.advanceTimersByTimeAsync(0)
  expect([idsOf(result), result.now.fresh]).toEqual([[4, 3, 2, 1], 0])
})
