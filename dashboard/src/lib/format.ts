const LARGE = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const EXACT = new Intl.NumberFormat('en')

export function count(value: number | bigint): string {
  return EXACT.format(value)
}

/** 950, 1.2K, 3.4M */
export function compact(value: number): string {
  return value < 10_000 ? EXACT.format(value) : LARGE.format(value)
}

export function percent(part: number, whole: number): string {
  if (whole === 0) return '–'
  const value = (100 * part) / whole
  if (value > 0 && value < 0.05) return '< 0.1 %'
  return `${value > 0 && value < 1 ? value.toFixed(1) : value > 99 && value < 100 ? value.toFixed(1) : Math.round(value)} %`
}

/** 850 µs, 12 ms, 1.24 s, 3 min 20 s, 2 h 5 min, 3 d 4 h */
export function duration(milliseconds: number | null | undefined): string {
  if (milliseconds === null || milliseconds === undefined) return '–'
  if (milliseconds < 0) return `−${duration(-milliseconds)}`
  if (milliseconds > 0 && milliseconds < 1) return `${Math.round(milliseconds * 1000)} µs`
  if (milliseconds < 1000) return `${milliseconds < 10 ? round(milliseconds, 1) : Math.round(milliseconds)} ms`
  const seconds = milliseconds / 1000
  if (seconds < 59.95) return `${round(seconds, seconds < 10 ? 2 : 1)} s`
  return parts(Math.round(seconds))
}

const UNITS: [string, number][] = [['y', 31_536_000], ['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]]

function parts(seconds: number): string {
  const first = UNITS.findIndex(([, size]) => seconds >= size)
  const [unit, size] = UNITS[first] ?? ['s', 1]
  const [nextUnit, nextSize] = UNITS[first + 1] ?? ['', 0]
  const whole = Math.floor(seconds / size)
  const rest = nextSize ? Math.floor((seconds - whole * size) / nextSize) : 0
  return rest ? `${whole} ${unit} ${rest} ${nextUnit}` : `${whole} ${unit}`
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}

/** "in 3 min 20 s", "12 s ago", "5 min ago", "now" */
export function relative(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1000)
  if (seconds === 0) return 'now'
  return seconds > 0 ? `in ${parts(seconds)}` : `${parts(-seconds).split(' ', 2).join(' ')} ago`
}

/** 340 B, 12 KiB, 3.4 MiB */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let rest = value
  let unit = 0
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024
    unit += 1
  }
  return `${rest < 10 && unit > 0 ? rest.toFixed(1) : Math.round(rest)} ${units[unit]}`
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`
}
