/** Schedules in words, without asking anybody. */
import { duration } from './format'

export interface Triggered {
  trigger_type: string
  schedule: Record<string, unknown>
  timezone: string
}

export const TRIGGERS = ['once', 'interval', 'daily', 'weekly', 'monthly', 'cron'] as const
export const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const

type CronWords = (expression: string) => string
let cronWords: CronWords | undefined

/** Loads what puts cron expressions into words; until then they are shown as they are. */
export async function loadCronWords(): Promise<void> {
  if (cronWords) return
  const { default: cronstrue } = await import('cronstrue')
  cronWords = (expression) => cronstrue.toString(expression, { use24HourTimeFormat: true, verbose: false })
}

/** Such as "Mondays and Fridays at 10:00". The zone stands apart; once and interval have none. */
export function scheduleWords({ trigger_type, schedule }: Triggered): string {
  const time = String(schedule.time ?? '')
  switch (trigger_type) {
    case 'once':
      return 'Once'
    case 'interval':
      return `Every ${duration(Number(schedule.seconds) * 1000)}`
    case 'daily':
      return `Every day at ${time}`
    case 'weekly':
      return `${weekdayWords(listOf(schedule.days).map(String))} at ${time}`
    case 'monthly':
      return `${monthdayWords(listOf(schedule.days).map(Number))} at ${time}`
    case 'cron':
      return cronText(String(schedule.expression ?? ''))
    default:
      return trigger_type
  }
}

export const hasZone = (trigger: string): boolean => trigger !== 'once' && trigger !== 'interval'

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

function cronText(expression: string): string {
  try {
    return cronWords?.(secondFirst(expression)) ?? expression
  } catch {
    return expression
  }
}

/** Here the second is the sixth field; what puts it into words wants it first. */
function secondFirst(expression: string): string {
  const fields = expression.trim().split(/\s+/)
  return fields.length === 6 ? [fields[5], ...fields.slice(0, 5)].join(' ') : expression
}

function weekdayWords(days: string[]): string {
  const known = WEEKDAYS.filter((day) => days.some((given) => given.toLowerCase() === day))
  if (known.length === 7) return 'Every day'
  if (known.length === 5 && !known.includes('saturday') && !known.includes('sunday')) return 'Monday to Friday'
  return enumerated(known.map((day) => `${day.charAt(0).toUpperCase()}${day.slice(1)}s`)) || enumerated(days)
}

function monthdayWords(days: number[]): string {
  const words = [...days].sort((a, b) => Number(a < 0) - Number(b < 0) || a - b).map((day) =>
    day < 0 ? (day === -1 ? 'the last day' : `the ${ordinal(-day)} last day`) : `the ${ordinal(day)}`)
  return `Each month on ${enumerated(words)}`
}

export function ordinal(number: number): string {
  const teens = number % 100 > 10 && number % 100 < 14
  return `${number}${teens ? 'th' : (['th', 'st', 'nd', 'rd'][number % 10] ?? 'th')}`
}

export function enumerated(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}
