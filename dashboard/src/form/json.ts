import type { LosslessNumber } from 'lossless-json'
import type { Json } from '../data/types'
import { isExactNumber, parseExact, stringifyExact } from '../lib/exact'

export type { Json }
export type JsonObject = { [key: string]: Json }

/** The number of these digits: one that keeps them where a double would not. */
export const numberOf = (digits: string): number | LosslessNumber => parseExact(digits) as number | LosslessNumber

/** Reads JSON. Throws a SyntaxError that says in which line it is wrong, also for a key that comes twice. */
export function readJson(text: string): Json {
  // it would become the prototype of the object, and be lost
  if (/"__proto__"\s*:/.test(text)) throw new SyntaxError('The key "__proto__" cannot be edited here')
  try {
    return parseExact(text) as Json
  } catch (error) {
    throw new SyntaxError(withLine(text, (error as Error).message))
  }
}

function withLine(text: string, message: string): string {
  const place = / at position (\d+)$/.exec(message)
  if (!place) return message
  const before = text.slice(0, Number(place[1])).split('\n')
  const column = (before.at(-1) ?? '').length + 1
  return `${message.slice(0, place.index)} (line ${before.length}, column ${column})`
}

export const writeJson = (value: Json, indent = 2): string => stringifyExact(value, indent || undefined)

export const isNumber = (value: unknown): value is number | LosslessNumber =>
  typeof value === 'number' || isExactNumber(value)

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isExactNumber(value)
}

export const isSame = (a: Json | undefined, b: Json | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && writeJson(sorted(a), 0) === writeJson(sorted(b), 0))

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, part]) => [key, sorted(part)]))
}

/** A value as a field shows it. */
export const shown = (value: Json | undefined): string => {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  return isNumber(value) ? String(value) : writeJson(value, 0)
}
