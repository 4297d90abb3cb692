import { render } from 'preact'
import { act } from 'preact/test-utils'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { config } from './client'
import { type PreviewRequest, type PreviewState, previewUrl, usePreview } from './preview'

vi.mock('./client', () => ({ config: {} }))

const DAILY: PreviewRequest = { trigger_type: 'daily', schedule: { time: '08:00' }, timezone: 'Europe/Berlin', ends_at: null }
const PREVIEW = { description: 'At 08:00, every day', runs: [] }
let root: HTMLElement
let state: PreviewState

function Shown({ request }: { request: PreviewRequest | null }) {
  state = usePreview(request, 5)
  return null
}
const show = (request: PreviewRequest | null) => act(() => render(<Shown request={request} />, root))
const pass = (milliseconds: number) => act(async () => {
  await vi.advanceTimersByTimeAsync(milliseconds)
})
const answering = (...answers: [status: number, body: unknown][]) => {
  const fetched = vi.fn(async (_: string) => {
    const [status, body] = answers.length > 1 ? (answers.shift() as [number, unknown]) : (answers[0] as [number, unknown])
    return new Response(JSON.stringify(body), { status })
  })
  vi.stubGlobal('fetch', fetched)
  return fetched
}

beforeEach(() => {
  vi.useFakeTimers()
  config.listenerUrl = 'http://l.test/'
  root = document.createElement('div')
})
afterEach(() => {
  render(null, root)
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

test('a listener is asked for what the columns say, and not for what they leave out', () => {
  const url = new URL(previewUrl('http://l.test/', DAILY, 10))
  expect([url.origin, url.pathname]).toEqual(['http://l.test', '/api/preview'])
  expect(Object.fromEntries(url.searchParams)).toEqual({ trigger: 'daily', timezone: 'Europe/Berlin', n: '10', schedule: '{"time":"08:00"}' })
})

test('letters that are typed one after another are one question', async () => {
  const fetched = answering([200, PREVIEW])
  for (const time of ['0', '08', '08:', '08:3']) {
    await show({ ...DAILY, schedule: { time } })
    await pass(100)
  }
  await pass(250)
  expect(fetched.mock.calls.map(([url]) => new URL(url).searchParams.get('schedule'))).toEqual(['{"time":"08:3"}'])
  expect(state).toEqual({ kind: 'shown', preview: PREVIEW, isOld: false })
})

test('a refusal is shown word for word, and a busy listener is asked again', async () => {
  answering([400, { message: 'schedule: "x" is not allowed' }])
  await show(DAILY)
  await pass(300)
  expect(state).toEqual({ kind: 'refused', message: 'schedule: "x" is not allowed' })
  const fetched = answering([503, {}], [200, PREVIEW])
  await show({ ...DAILY, timezone: 'UTC' })
  await pass(300)
  await pass(1000)
  expect([fetched.mock.calls.length, state.kind]).toEqual([2, 'shown'])
})

test('without a listener nothing is asked', async () => {
  delete config.listenerUrl
  const fetched = answering([200, PREVIEW])
  await show(DAILY)
  await pass(1000)
  expect([fetched.mock.calls.length, state]).toEqual([0, { kind: 'none' }])
})
