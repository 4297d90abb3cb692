import { useEffect, useState } from 'react'
import { config } from './client'

/** The next runs of a schedule as the listener computes them (`/api/preview`). */
export interface Preview {
  description: string
  runs: { at: string; local: string; note: string | null }[]
}

/** The columns of a job that say when it runs; an absent one has its default. */
export interface PreviewRequest {
  trigger_type: string
  schedule: Record<string, unknown>
  timezone: string
  run_date?: string | null
  ends_at?: string | null
  dst_gap?: string | undefined
  dst_fold?: string | undefined
}

/** `none`: no listener's address is known, or it does not answer; `refused`: the schedule is none, for this reason. */
export type PreviewState =
  | { kind: 'loading' | 'none' }
  | { kind: 'refused'; message: string }
  | { kind: 'shown'; preview: Preview; isOld: boolean }

const DEBOUNCE_MILLISECONDS = 250
const BUSY_MILLISECONDS = 1_000
const MOST_TRIES = 5

export function previewUrl(base: string, request: PreviewRequest, n: number): string {
  const words = new URLSearchParams({ trigger: request.trigger_type, timezone: request.timezone, n: String(n) })
  words.set('schedule', JSON.stringify(request.schedule))
  for (const name of ['run_date', 'ends_at', 'dst_gap', 'dst_fold'] as const) {
    const value = request[name]
    if (value) words.set(name, value)
  }
  return `${base.replace(/\/$/, '')}/api/preview?${words}`
}

/** Asks for the next `n` runs a moment after the last change; null asks for nothing. */
export function usePreview(request: PreviewRequest | null, n: number): PreviewState {
  const [state, setState] = useState<PreviewState>({ kind: 'loading' })
  const url = request && config.listenerUrl ? previewUrl(config.listenerUrl, request, n) : null
  useEffect(() => {
    if (url === null) return setState({ kind: 'none' })
    const abort = new AbortController()
    setState((earlier) => (earlier.kind === 'shown' ? { ...earlier, isOld: true } : earlier))
    const timer = setTimeout(() => {
      void ask(url, abort.signal).then((answer) => !abort.signal.aborted && setState(answer))
    }, DEBOUNCE_MILLISECONDS)
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  }, [url])
  return state
}

async function ask(url: string, signal: AbortSignal, tries = 1): Promise<PreviewState> {
  try {
    const response = await fetch(url, { signal })
    if (response.ok) return { kind: 'shown', preview: (await response.json()) as Preview, isOld: false }
    if (response.status === 400) return { kind: 'refused', message: ((await response.json()) as { message: string }).message }
    if (response.status !== 503 || tries >= MOST_TRIES) return { kind: 'none' }
  } catch {
    return { kind: 'none' }
  }
  await new Promise((resolve) => setTimeout(resolve, BUSY_MILLISECONDS)) // others ask too
  return ask(url, signal, tries + 1)
}
