import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { unmarked } from '../lib/marks'
import { Store } from '../lib/store'
import type { Config } from './config'

export let supabase: SupabaseClient
export let config: Config

/** Whether the last request reached anybody. */
export const reachable = new Store(true)

export function connect(settings: Config): void {
  config = settings
  supabase = createClient(settings.supabaseUrl, settings.publishableKey, {
    auth: { flowType: 'pkce', storageKey: `jobs.session.${new URL(settings.supabaseUrl).host}` },
    global: { fetch: watchedFetch },
    realtime: { params: { eventsPerSecond: 20 } },
  })
}

async function watchedFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const body = typeof init?.body === 'string' ? unmarked(init.body) : init?.body
  try {
    const response = await fetch(input, body === undefined ? init : { ...init, body })
    reachable.set(true)
    if (response.status === 401 && String(input).includes('/rest/v1/')) void checkSession()
    return response
  } catch (fault) {
    if (!init?.signal?.aborted) reachable.set(false)
    throw fault
  }
}

const CHECK_MILLISECONDS = 10_000
let checkedAt = -Infinity

/** A session that the database no longer takes, and that cannot be refreshed, has ended: auth-js then says so. */
async function checkSession(): Promise<void> {
  if (Date.now() - checkedAt < CHECK_MILLISECONDS) return
  checkedAt = Date.now()
  await supabase.auth.refreshSession()
}

/** Why the database, or the way to it, refused. `message` is shown word for word. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly details: string | null,
    readonly hint: string | null,
  ) {
    super(message)
    this.name = 'Refusal'
  }

  get isSignedOut(): boolean {
    return this.status === 401
  }

  get isUnreachable(): boolean {
    return this.status === 0
  }
}

interface Answer<T> {
  data: T
  error: { message: string; code?: string; details?: string | null; hint?: string | null } | null
  status: number
}

/** What a request of supabase-js returned. Throws `Refusal`. */
export async function answer<T>(request: PromiseLike<Answer<T>>): Promise<NonNullable<T>> {
  const { data, error, status } = await request
  if (!error) return data as NonNullable<T>
  if (status === 0) throw new Refusal('Supabase cannot be reached.', 0, error.code ?? '', error.message, null)
  throw new Refusal(error.message || `HTTP ${status}`, status, error.code ?? '', error.details ?? null, error.hint ?? null)
}
