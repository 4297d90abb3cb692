import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Coalescer, Throttle, type Changes } from './coalesce'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('changes of one moment arrive together, the newest of each job', () => {
  const batches: Changes[] = []
  const coalescer = new Coalescer(250, (batch) => batches.push(batch))
  coalescer.add({ type: 'INSERT', row: { id: 1, status: 'scheduled' } })
  coalescer.add({ type: 'UPDATE', row: { id: 1, status: 'running' } })
  coalescer.add({ type: 'UPDATE', row: { id: 2, status: 'failed' } })
  vi.advanceTimersByTime(249)
  expect(batches).toEqual([])
  vi.advanceTimersByTime(1)
  expect(batches).toEqual([{
    changes: [{ type: 'INSERT', row: { id: 1, status: 'running' } }, { type: 'UPDATE', row: { id: 2, status: 'failed' } }],
    isPartial: false,
  }])
})

test('a storm is cut, and says so', () => {
  const batches: Changes[] = []
  const coalescer = new Coalescer(250, (batch) => batches.push(batch))
  for (let id = 0; id < 10_000; id++) coalescer.add({ type: 'UPDATE', row: { id } })
  vi.advanceTimersByTime(250)
  expect([batches.length, batches[0]?.changes.length, batches[0]?.isPartial]).toEqual([1, 500, true])
})

test('what was cleared is not delivered', () => {
  const deliver = vi.fn()
  const coalescer = new Coalescer(250, deliver)
  coalescer.add({ type: 'UPDATE', row: { id: 1 } })
  coalescer.clear()
  vi.advanceTimersByTime(1000)
  expect(deliver).not.toHaveBeenCalled()
})

test('fifty changes a second are one refetch a gap', () => {
  const act = vi.fn()
  const throttle = new Throttle(act, () => 2000)
  for (let i = 0; i < 475; i++) {
    throttle.ask()
    vi.advanceTimersByTime(20)
  }
  expect(act.mock.calls.length).toBe(5)
  vi.advanceTimersByTime(2000)
  expect(act.mock.calls.length).toBe(6) // what came last is not lost
})
