import { relative } from '../lib/format'
import { exactTime, shortTime, useNow, useZone } from '../lib/time'

interface TimeProps {
  at: string | null | undefined
  /** The time zone of the job that it belongs to. */
  zone?: string | null
  /** `both`: 14:05:09 · in 3 min */
  as?: 'clock' | 'relative' | 'both' | 'exact'
  none?: string
}

const FINE_MILLISECONDS = 3_600_000

/** An instant in the zone that the person chose; its full form, and UTC, on hover. */
export function Time({ at, zone, as = 'clock', none = '–' }: TimeProps) {
  const distance = at ? Math.abs(Date.parse(at) - Date.now()) : Infinity
  const ticks = as === 'relative' || as === 'both' ? (distance < FINE_MILLISECONDS ? 1 : 30) : 600
  const now = useNow(ticks)
  const shownZone = useZone(zone)
  if (!at) return <span className="muted">{none}</span>
  const instant = Date.parse(at)
  const title = `${exactTime(instant, shownZone)} · ${exactTime(instant, 'UTC')}`
  return (
    <time dateTime={at} title={title} className="time">
      {as === 'exact' && exactTime(instant, shownZone)}
      {(as === 'clock' || as === 'both') && shortTime(instant, shownZone, now)}
      {as === 'both' && ' · '}
      {(as === 'relative' || as === 'both') && <span className={as === 'both' ? 'muted' : ''}>{relative(instant, Date.now())}</span>}
    </time>
  )
}
