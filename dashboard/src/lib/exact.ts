/**
 * JSON whose numbers are shown and sent exactly: those that JavaScript would round stay their text.
 *
 * Read jsonb columns as text (`select('metadata::text')`) and parse them with `parseExact`: supabase-js itself reads
 * JSON with rounded numbers. What `parseExact` returns may be written through supabase-js as it is.
 */
import { MARK } from './marks'
import { isLosslessNumber, LosslessNumber, parse, stringify } from 'lossless-json'

class ExactNumber extends LosslessNumber {
  toJSON(): string {
    return `${MARK}:${this.value}`
  }
}

function parseNumber(text: string): number | ExactNumber {
  const number = Number(text)
  return String(number) === text ? number : new ExactNumber(text)
}

/** Throws SyntaxError, which names the place. */
export function parseExact(text: string): unknown {
  return parse(text, null, parseNumber)
}

export function stringifyExact(value: unknown, indent?: number): string {
  return stringify(value, null, indent) ?? 'null'
}

/** Formatted JSON of JSON, or the text itself where it is none. */
export function pretty(text: string): string {
  try {
    return stringifyExact(parseExact(text), 2)
  } catch {
    return text
  }
}

export function isExactNumber(value: unknown): value is LosslessNumber {
  return isLosslessNumber(value)
}

/** The same value with rounded numbers, for what only compares them, such as the validation of a schema. */
export function rounded(value: unknown): unknown {
  return JSON.parse(stringifyExact(value))
}
