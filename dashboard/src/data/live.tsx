import type { RealtimeChannel } from '@supabase/supabase-js'
import { useEffect } from 'react'
import { Coalescer, type Changes, type JobChange, type JobRow } from '../lib/coalesce'
import { Store, useStore } from '../lib/store'
import { reachable, supabase } from './client'

/** How what is shown stays up to date. */
export type LiveState = 'live' | 'polling' | 'offline' | 'paused'

const COALESCE_MILLISECONDS = 250
const LEAVE_HIDDEN_MILLISECONDS = 60_000

const isPaused = new Store(false)
const isJoined = new Store(false)
const isHidden = new Store(document.hidden)
const isOnline = new Store(navigator.onLine)
const listeners = new Set<(changes: Changes) => void>()
const coalescer = new Coalescer(COALESCE_MILLISECONDS, (changes) => {
  if (!isPaused.get()) for (const listener of [...listeners]) listener(changes)
})

addEventListener('online', () => isOnline.set(true))
addEventListener('offline', () => isOnline.set(false))
document.addEventListener('visibilitychange', () => isHidden.set(document.hidden))

export function useLiveState(): LiveState {
  const [paused, joined, online, reached] = [useStore(isPaused), useStore(isJoined), useStore(isOnline), useStore(reachable)]
  if (!online || !reached) return 'offline'
  if (paused) return 'paused'
  return joined ? 'live' : 'polling'
}

export function togglePause(): void {
  isPaused.set(!isPaused.get())
}

/** Has everything that is shown read anew. */
export function reload(): void {
  coalescer.clear()
  for (const listener of [...listeners]) listener({ changes: [], isPartial: true })
}

/** Whether to ask the database again from time to time. */
export function usePolls(): boolean {
  const [paused, hidden] = [useStore(isPaused), useStore(isHidden)]
  return !paused && !hidden
}

/** Calls back with the changes of the jobs that are open, gathered for 250 ms. */
export function onChanges(listener: (changes: Changes) => void): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

/** The one subscription of the page: to the jobs of a workspace, or to the private ones of the user. */
export function useSubscription(filter: string, isSignedIn: boolean): void {
  const paused = useStore(isPaused)
  useEffect(() => {
    if (!isSignedIn || paused) return
    const subscription = new Subscription(filter)
    return () => subscription.close()
  }, [filter, isSignedIn, paused])
}

/** Joined while the page is looked at: messages to a tab that nobody sees cost as much as others. */
class Subscription {
  private channel: RealtimeChannel | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private isClosed = false
  private readonly unwatch: () => void

  constructor(private readonly filter: string) {
    this.unwatch = isHidden.watch(() => this.visibilityChanged())
    if (!isHidden.get()) void this.join()
  }

  close(): void {
    this.isClosed = true
    this.unwatch()
    clearTimeout(this.timer)
    this.leave()
  }

  private visibilityChanged(): void {
    clearTimeout(this.timer)
    if (isHidden.get()) this.timer = setTimeout(() => this.leave(), LEAVE_HIDDEN_MILLISECONDS)
    else if (!this.channel) void this.join()
  }

  private async join(): Promise<void> {
    await supabase.realtime.setAuth() // before the channel joins, or it joins as nobody
    if (this.isClosed || this.channel) return
    const channel = supabase.channel(`dashboard:${this.filter}`)
    this.channel = channel
    channel
      .on<JobRow>('postgres_changes', { event: '*', schema: 'public', table: 'scheduled_jobs', filter: this.filter }, (payload) => {
        const row = (payload.eventType === 'DELETE' ? payload.old : payload.new) as JobRow
        coalescer.add({ type: payload.eventType, row } satisfies JobChange)
      })
      .on('system', {}, (message: { status: string }) => {
        if (this.channel !== channel) return
        isJoined.set(message.status === 'ok')
        if (message.status === 'ok') reload() // what changed before it heard
      })
      .subscribe((status) => {
        if (this.channel === channel && status !== 'SUBSCRIBED') isJoined.set(false)
      })
  }

  private leave(): void {
    if (this.channel) void supabase.removeChannel(this.channel)
    this.channel = null
    isJoined.set(false)
    coalescer.clear()
  }
}
