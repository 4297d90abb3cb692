import type { Json, TriggerType } from '../../data/types'
import { isObject, isSame, type JsonObject } from '../../form/json'
import { instantOf, localOf } from '../../lib/zoned'
import { type Column, COLUMNS, type Definition, type JobRow } from './row'

/** An instant as somebody entered it, in the job's zone, or as the database has it; null: none. */
export type Moment = { local: string } | { iso: string } | null

export const UNITS = { s: 1, min: 60, h: 3600, d: 86_400 } as const
export type Unit = keyof typeof UNITS

/** The columns that are entered as a text; an empty one has the database's default. */
export const TEXTS = [
  'job_id', 'name', 'description', 'max_runs', 'max_attempts', 'retry_delay_seconds', 'retry_backoff', 'timeout_seconds', 'priority',
  'overlap', 'misfire', 'misfire_grace_seconds', 'dst_gap', 'dst_fold', 'concurrency_key', 'cleanup_after_days', 'job_type',
] as const
export type TextColumn = (typeof TEXTS)[number]

const NUMBERS = new Set<string>([
  'max_runs', 'max_attempts', 'retry_delay_seconds', 'retry_backoff', 'timeout_seconds', 'priority', 'misfire_grace_seconds',
  'cleanup_after_days',
])
const NULLABLE = new Set<string>(['name', 'description', 'max_runs', 'concurrency_key', 'cleanup_after_days', 'job_type'])

export const DEFAULTS: Partial<Record<Column, Json>> = {
  metadata: {}, trigger_type: 'once', schedule: {}, timezone: 'UTC', max_attempts: 4, retry_delay_seconds: 5, retry_backoff: 2,
  timeout_seconds: 300, priority: 0, overlap: 'skip', misfire: 'run_once', misfire_grace_seconds: 60, dst_gap: 'run_after',
  dst_fold: 'first', store_result: true, test_mode: false,
}

export interface Draft {
  handler: string
  payload: JsonObject
  trigger: TriggerType
  runDate: Moment
  endsAt: Moment
  timezone: string
  amount: string
  unit: Unit
  time: string
  weekdays: string[]
  monthdays: number[]
  missingDay: '' | 'last' | 'skip'
  expression: string
  texts: Record<TextColumn, string>
  storeResult: boolean
  testMode: boolean
}

const textsOf = (text: (column: TextColumn) => string) =>
  Object.fromEntries(TEXTS.map((column) => [column, text(column)])) as Record<TextColumn, string>

export function newDraft(timezone: string, handler = ''): Draft {
  return {
    handler, payload: {}, trigger: 'once', runDate: null, endsAt: null, timezone, amount: '1', unit: 'h', time: '09:00',
    weekdays: ['monday'], monthdays: [1], missingDay: '', expression: '0 9 * * 1-5', texts: textsOf(() => ''), storeResult: true,
    testMode: false,
  }
}

export function draftOf(row: JobRow): Draft {
  const { schedule, trigger_type: trigger } = row
  const seconds = Number(schedule.seconds)
  const unit = (['d', 'h', 'min'] as const).find((each) => seconds >= UNITS[each] && seconds % UNITS[each] === 0) ?? 's'
  const days = Array.isArray(schedule.days) ? schedule.days : []
  return {
    ...newDraft(row.timezone, row.handler),
    payload: isObject(row.metadata) ? row.metadata : {},
    trigger,
    runDate: { iso: row.run_date },
    endsAt: row.ends_at === null ? null : { iso: row.ends_at },
    ...(trigger === 'interval' && { amount: String(seconds / UNITS[unit]), unit }),
    ...(typeof schedule.time === 'string' && { time: schedule.time }),
    ...(trigger === 'weekly' && { weekdays: days.map(String) }),
    ...(trigger === 'monthly' && { monthdays: days.map(Number), missingDay: (schedule.missing_day ?? '') as Draft['missingDay'] }),
    ...(typeof schedule.expression === 'string' && { expression: schedule.expression }),
    texts: textsOf((column) => (row[column] === null ? '' : String(row[column]))),
    storeResult: row.store_result,
    testMode: row.test_mode ?? false,
  }
}

/** The schedule as its column holds it. */
export function scheduleOf(draft: Draft): JsonObject {
  switch (draft.trigger) {
    case 'interval':
      return { seconds: Math.round(Number(draft.amount) * UNITS[draft.unit] * 1e6) / 1e6 }
    case 'daily':
      return { time: draft.time }
    case 'weekly':
      return { time: draft.time, days: draft.weekdays }
    case 'monthly':
      return { time: draft.time, days: draft.monthdays, ...(draft.missingDay && { missing_day: draft.missingDay }) }
    case 'cron':
      return { expression: draft.expression.trim() }
    default:
      return {}
  }
}

/** The local time that an input shows. */
export function localText(moment: Moment, zone: string): string {
  if (moment === null) return ''
  return 'local' in moment ? moment.local : localOf(new Date(moment.iso), zone)
}

/** The instant, exact where nobody changed it; null where there is none. */
export function instantText(moment: Moment, zone: string): string | null {
  if (moment === null) return null
  return 'iso' in moment ? moment.iso : (instantOf(moment.local, zone)?.toISOString() ?? null)
}

/** All columns that the draft says; an absent one is left to the database. */
export function definitionOf(draft: Draft): Definition {
  const definition: Definition = {
    handler: draft.handler,
    metadata: draft.payload,
    trigger_type: draft.trigger,
    schedule: scheduleOf(draft),
    timezone: draft.timezone,
    ends_at: instantText(draft.endsAt, draft.timezone),
    store_result: draft.storeResult,
    test_mode: draft.testMode,
  }
  const runDate = instantText(draft.runDate, draft.timezone)
  if (runDate !== null) definition.run_date = runDate
  for (const column of TEXTS) {
    const value = valueOf(column, draft.texts[column])
    if (value !== undefined) definition[column] = value
  }
  return definition
}

function valueOf(column: TextColumn, text: string): Json | undefined {
  if (text.trim() === '') return NULLABLE.has(column) ? null : DEFAULTS[column]
  return NUMBERS.has(column) && Number.isFinite(Number(text)) ? Number(text) : text
}

/** What a new row says: nothing that the database says itself. */
export function insertOf(draft: Draft, workspace: string | null): Record<string, Json> {
  const row: Record<string, Json> = workspace === null ? {} : { workspace_id: workspace }
  const definition = definitionOf(draft)
  for (const column of COLUMNS) {
    const value = definition[column]
    if (value !== undefined && value !== null && !isSame(value, DEFAULTS[column])) row[column] = value
  }
  return row
}

/** The columns that differ between a row and a draft, with their new values. */
export const changesOf = (row: JobRow, draft: Draft): Definition => differing(definitionOf(draft), definitionIn(row))

/** The columns of a row that a client writes. */
export function definitionIn(row: JobRow): Definition {
  const values = row as unknown as Definition
  return Object.fromEntries(COLUMNS.filter((column) => values[column] !== undefined).map((column) => [column, values[column]]))
}

/** The columns that both have and that differ, with the values of the first. */
export function differing(mine: Definition, theirs: Definition): Definition {
  const both = COLUMNS.filter((column) => mine[column] !== undefined && theirs[column] !== undefined)
  return Object.fromEntries(both.filter((column) => !isEqual(column, mine[column], theirs[column])).map((column) => [column, mine[column]]))
}

function isEqual(column: Column, a: Json | undefined, b: Json | undefined): boolean {
  if (isSame(a, b)) return true
  if ((column !== 'run_date' && column !== 'ends_at') || !a || !b) return false
  const isFine = [a, b].some((each) => /\.\d{4,}/.test(String(each))) // finer than a date of a browser
  return !isFine && Date.parse(String(a)) === Date.parse(String(b))
}
