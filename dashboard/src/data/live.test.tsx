import { createElement } from 'react'
import { createRoot, type Root } from 'react-dom/client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import * as live from './live'

const realtime = vi.hoisted(() => ({ said: [] as string[], hear: {} as Record<string, (message: unknown) => void> }))
vi.mock('./client', async () => {
  const { Store } = await import('../lib/store')
  const channel = {
    on: (kind: string, _: unknown, listener: (message: unknown) => void) => {
      realtime.hear[kind] = listener
      return channel
    },
    subscribe: () => void realtime.said.push('subscribe'),
  }
  return {
    reachable: new Store(true),
    supabase: {
      realtime: { setAuth: async () => void realtime.said.push('setAuth') },
      channel: () => channel,
      removeChannel: async () => void realtime.said.push('leave'),
    },
  }
})

let root: Root
let state: string

beforeEach(async () => {
  vi.useFakeTimers()
  realtime.said.length = 0
  root = createRoot(document.createElement('div'))
  root.render(createElement(() => {
    live.useSubscription('workspace_id=eq.1', true)
    state = live.useLiveState()
    return null
  }))
  await vi.advanceTimersByTimeAsync(50)
})
afterEach(async () => {
  hide(false)
  root.unmount()
  await vi.advanceTimersByTimeAsync(500) // what Preact has scheduled must not wait for a clock that is gone
  vi.useRealTimers()
})

function hide(isHidden: boolean): void {
  Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true })
  document.dispatchEvent(new Event('visibilitychange'))
}

test('the channel joins with the token of the user, and is live once the database is heard', async () => {
  expect([realtime.said, state]).toEqual([['setAuth', 'subscribe'], 'polling'])
  realtime.hear.system?.({ status: 'ok' })
  await vi.advanceTimersByTimeAsync(50)
  expect(state).toBe('live')
})

test('a tab that nobody looks at leaves after a minute, and comes back when it is looked at', async () => {
  hide(true)
  await vi.advanceTimersByTimeAsync(59_000)
  expect(realtime.said).not.toContain('leave')
  await vi.advanceTimersByTimeAsync(2_000)
  expect(realtime.said.at(-1)).toBe('leave')
  hide(false)
  await vi.advanceTimersByTimeAsync(50)
  expect(realtime.said.slice(-2)).toEqual(['setAuth', 'subscribe'])
})

test('a look elsewhere costs nothing', async () => {
  hide(true)
  await vi.advanceTimersByTimeAsync(5_000)
  hide(false)
  await vi.advanceTimersByTimeAsync(120_000)
  expect(realtime.said).toEqual(['setAuth', 'subscribe'])
})

test('what is paused is left, and what arrives meanwhile is not shown', async () => {
  const heard = vi.fn()
  live.onChanges(heard)
  realtime.hear.postgres_changes?.({ eventType: 'UPDATE', new: { id: 1 } })
  live.togglePause()
  await vi.advanceTimersByTimeAsync(1_000)
  expect([realtime.said.at(-1), state, heard.mock.calls.length]).toEqual(['leave', 'paused', 0])
  live.togglePause()
  await vi.advanceTimersByTimeAsync(50)
  expect(realtime.said.at(-1)).toBe('subscribe')
})
