/** Local times of a zone, as `<input type="datetime-local">` has them: 2026-03-07T12:00:00. */

const formats = new Map<string, Intl.DateTimeFormat>()

function format(zone: string): Intl.DateTimeFormat {
  let found = formats.get(zone)
  if (!found) {
    found = new Intl.DateTimeFormat('en-CA', {
      timeZone: zone, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23',
      year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
    })
    formats.set(zone, found)
  }
  return found
}

/** Throws a RangeError where there is no such zone. */
export function localOf(instant: Date, zone: string): string {
  const parts = Object.fromEntries(format(zone).formatToParts(instant).map(({ type, value }) => [type, value]))
  return `${parts.year?.padStart(4, '0')}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}:${parts.second}`
}

/** The instant of a local time: of two the first; of a time that does not exist, the one as much later. Null for no time. */
export function instantOf(local: string, zone: string): Date | null {
  const asUtc = Date.parse(`${local.length === 16 ? `${local}:00` : local}Z`)
  if (Number.isNaN(asUtc)) return null
  const offsetAt = (at: number) => Date.parse(`${localOf(new Date(at), zone)}Z`) - Math.floor(at / 1000) * 1000
  const day = 86_400_000
  const candidates = [...new Set([offsetAt(asUtc - day), offsetAt(asUtc + day)])].map((offset) => asUtc - offset)
  const fitting = candidates.filter((at) => at + offsetAt(at) === asUtc)
  return new Date(fitting.length > 0 ? Math.min(...fitting) : Math.max(...candidates))
}

export function isZone(zone: string): boolean {
  try {
    format(zone)
    return true
  } catch {
    return false
  }
}

export const localZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone

export function allZones(): string[] {
  const listed = (Intl as { supportedValuesOf?: (key: 'timeZone') => string[] }).supportedValuesOf?.('timeZone') ?? []
  return [...new Set(['UTC', localZone(), ...listed])]
}
