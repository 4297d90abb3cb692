import { createElement } from 'react'
import { createRoot, type Root } from 'react-dom/client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Refusal } from '../data/client'
import { actLater, dismiss, showRefusal, Toasts } from './toast'

let root: Root
let place: HTMLElement

beforeEach(async () => {
  vi.useFakeTimers()
  place = document.createElement('div')
  document.body.append(place)
  root = createRoot(place)
  root.render(createElement(Toasts))
  await vi.advanceTimersByTimeAsync(50)
})
afterEach(async () => {
  for (let id = 0; id < 50; id++) dismiss(id)
  root.unmount()
  place.remove()
  await vi.advanceTimersByTimeAsync(500)
  vi.useRealTimers()
})

const press = async (name: string) => {
  ;[...place.querySelectorAll('button')].find((button) => button.textContent === name)?.click()
  await vi.advanceTimersByTimeAsync(50)
}

test('an act waits five seconds', async () => {
  const act = vi.fn()
  actLater('The job is deleted.', act)
  await vi.advanceTimersByTimeAsync(4_900)
  expect([act.mock.calls.length, place.textContent]).toEqual([0, 'The job is deleted.Undo'])
  await vi.advanceTimersByTimeAsync(200)
  expect([act.mock.calls.length, place.textContent]).toEqual([1, ''])
})

test('an act that is taken back is not done', async () => {
  const act = vi.fn()
  actLater('The job is deleted.', act)
  await vi.advanceTimersByTimeAsync(1_000)
  await press('Undo')
  await vi.advanceTimersByTimeAsync(10_000)
  expect([act.mock.calls.length, place.textContent]).toEqual([0, ''])
})

test('an act that waits is done at once when the page is left', async () => {
  const act = vi.fn()
  actLater('The job is deleted.', act)
  dispatchEvent(new Event('pagehide'))
  await vi.advanceTimersByTimeAsync(10_000)
  expect(act.mock.calls.length).toBe(1)
})

test('a refusal is shown word for word, with its hint, until it is dismissed or tried again', async () => {
  const retry = vi.fn()
  showRefusal(new Refusal('quota max_active_jobs: 1 more is not allowed', 403, 'PT403', '{}', 'Ask the operator.'), retry)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(place.textContent).toBe('quota max_active_jobs: 1 more is not allowedAsk the operator.Retry')
  await press('Retry')
  expect([retry.mock.calls.length, place.textContent]).toEqual([1, ''])
})
