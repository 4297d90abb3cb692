import { useSyncExternalStore } from 'react'
import { store, stored } from './prefs'
import { Store, useStore } from './store'

/** In which zone instants are shown: `job` is the zone of the job that is looked at, else the browser's. */
export type ZoneChoice = 'utc' | 'local' | 'job'

export const LOCAL_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
const CHOICES: ZoneChoice[] = ['utc', 'local', 'job']
export const zoneChoice = new Store<ZoneChoice>(CHOICES.find((choice) => choice === stored('zone')) ?? 'local')

export function chooseZone(choice: ZoneChoice): void {
  zoneChoice.set(choice)
  store('zone', choice)
}

export function useZone(ofJob?: string | null): string {
  return zoneOf(useStore(zoneChoice), ofJob)
}

export function zoneOf(choice: ZoneChoice, ofJob?: string | null): string {
  if (choice === 'utc') return 'UTC'
  return choice === 'job' && ofJob ? ofJob : LOCAL_ZONE
}

const FORMATS = new Map<string, Intl.DateTimeFormat>()

function format(zone: string, options: Intl.DateTimeFormatOptions, key: string): Intl.DateTimeFormat {
  const name = `${zone} ${key}`
  let found = FORMATS.get(name)
  if (!found) {
    try {
      found = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: zone, hourCycle: 'h23' })
    } catch {
      found = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: 'UTC', hourCycle: 'h23' }) // a zone that this browser lacks
    }
    FORMATS.set(name, found)
  }
  return found
}

const DAY: Intl.DateTimeFormatOptions = { year: 'numeric', month: 'short', day: 'numeric' }
const TIME: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', second: '2-digit' }

/** 30 Nov 2026, 14:05:09 */
export function dateTime(at: number, zone: string): string {
  return format(zone, { ...DAY, ...TIME }, 'date and time').format(at)
}

/** 30 Nov 2026, 14:05:09.123 GMT+1 */
export function exactTime(at: number, zone: string): string {
  return format(zone, { ...DAY, ...TIME, fractionalSecondDigits: 3, timeZoneName: 'short' }, 'exact').format(at)
}

/** 14:05 */
export function clockTime(at: number, zone: string): string {
  return format(zone, { hour: '2-digit', minute: '2-digit' }, 'clock').format(at)
}

/** Mon 30 Nov */
export function dayOf(at: number, zone: string): string {
  return format(zone, { weekday: 'short', month: 'short', day: 'numeric' }, 'day').format(at)
}

/** 14:05:09 today, else with the date and without seconds: for tables. */
export function shortTime(at: number, zone: string, now: number): string {
  const isToday = dayOf(at, zone) === dayOf(now, zone) && Math.abs(at - now) < 86_400_000
  if (isToday) return format(zone, TIME, 'time').format(at)
  return format(zone, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', ...(Math.abs(at - now) > 15_552_000_000 ? { year: 'numeric' } : {}) }, `short ${Math.abs(at - now) > 15_552_000_000}`).format(at)
}

const second = new Store(Math.floor(Date.now() / 1000))
setInterval(() => {
  if (!document.hidden) second.set(Math.floor(Date.now() / 1000))
}, 1000)

/** The present instant in milliseconds, a new one each so many seconds. */
export function useNow(seconds = 1): number {
  const get = () => second.get() - (second.get() % seconds)
  return useSyncExternalStore(second.watch, get, get) * 1000
}
