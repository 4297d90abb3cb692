import { Validator } from '@cfworker/json-schema'
import { rounded } from '../lib/exact'
import { type Json, isNumber, isObject } from './json'
import { type Part, type Schema, partOf } from './schema'
import { isWhole, variantOf } from './values'

/** What is wrong, by the path of the field: names and places in lists with dots between them; '' is the whole. */
export type Faults = Map<string, string>

export const joined = (path: string, key: string | number): string => (path === '' ? String(key) : `${path}.${key}`)

/** Compares a payload with its schema, as far as JSON schema goes; the database and the model have the last word. */
export function check(value: Json | undefined, root: Schema): Faults {
  const faults: Faults = new Map()
  walk(value, root, '', { root, faults, depth: 0 })
  if (faults.size === 0 && value !== undefined) checkWhole(value, root, faults)
  return faults
}

interface Walk {
  root: Schema
  faults: Faults
  depth: number
}

function walk(value: Json | undefined, given: Schema, path: string, at: Walk): void {
  const part = partOf(given, at.root)
  if (value === undefined || part.schema['x-lenient'] || at.depth > 64) return
  if (value === null && part.nullable) return
  const fault = value === null && !acceptsNull(part) ? 'Must not be null' : faultOf(value, part)
  if (fault) {
    at.faults.set(path, fault)
    return
  }
  const { shape } = part
  const inner = { ...at, depth: at.depth + 1 }
  if (shape.kind === 'list' && Array.isArray(value)) {
    value.forEach((item, place) => walk(item, shape.item, joined(path, place), inner))
  } else if (shape.kind === 'union') {
    const variant = shape.variants[variantOf(value, shape.variants, at.root, shape.tag)]
    if (variant) walk(value, variant, path, inner)
  } else if (shape.kind === 'object' && isObject(value)) {
    for (const name of shape.required) if (!(name in value)) at.faults.set(joined(path, name), 'Required')
    for (const [name, property] of shape.properties) walk(value[name], property, joined(path, name), inner)
    const names = new Set(shape.properties.map(([name]) => name))
    for (const key of Object.keys(value)) {
      if (names.has(key)) continue
      if (shape.others) walk(value[key], shape.others, joined(path, key), inner)
      else if (part.schema.additionalProperties === false) at.faults.set(joined(path, key), 'The handler knows no such key')
    }
  }
}

const acceptsNull = ({ schema, shape }: Part) =>
  shape.kind === 'null' || (shape.kind === 'json' && schema.type === undefined && !schema.enum) || shape.kind === 'union'

function faultOf(value: Json, { schema, shape }: Part): string | undefined {
  switch (shape.kind) {
    case 'integer':
      if (!isNumber(value) || !isWhole(value)) return 'Must be a whole number'
      return leafFault(value, schema)
    case 'number':
      return isNumber(value) ? leafFault(value, schema) : 'Must be a number'
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'Must be true or false'
    case 'text':
    case 'secret':
      return typeof value === 'string' ? leafFault(value, schema) : 'Must be a text'
    case 'choice':
      return shape.options.includes(value) ? undefined : `Must be one of ${shape.options.map(String).join(', ')}`
    case 'constant':
      return value === shape.value ? undefined : `Must be ${String(shape.value)}`
    case 'list':
      return Array.isArray(value) ? leafFault(value, { ...schema, items: undefined }) : 'Must be a list'
    case 'object':
      return isObject(value) ? undefined : 'Must be an object'
    default:
      return undefined
  }
}

/** pydantic accepts more than RFC 3339 says. */
const FORMATS: Record<string, [RegExp, string]> = {
  'date-time': [/^\d{4}-\d\d-\d\d[T t_]\d\d:\d\d|^-?\d+$/, 'an instant, such as 2026-03-07T12:00:00Z'],
  time: [/^\d\d:\d\d/, 'a time, such as 09:30'],
  duration: [/^[-+]?P|^-?\d/, 'a duration, such as PT5M'],
}
const FORMAT_WORDS: Record<string, string> = {
  date: 'a date, such as 2026-03-07',
  email: 'an e-mail address',
  uri: 'an address with its scheme, such as https://example.com',
  uuid: 'a UUID',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
}

function leafFault(value: Json, schema: Schema): string | undefined {
  const own = FORMATS[schema.format ?? '']
  if (own && typeof value === 'string') return own[0].test(value) ? undefined : `Must be ${own[1]}`
  const { default: _, $defs, title, ...rules } = schema
  const [first] = faultsOf(tame(rules), value)
  return first && wordsFor(first.keyword, schema, first.error)
}

function wordsFor(keyword: string, schema: Schema, otherwise: string): string {
  const bound = String(schema[keyword])
  const words: Record<string, string> = {
    minLength: bound === '1' ? 'Must not be empty' : `Must have at least ${bound} characters`,
    maxLength: `Must have at most ${bound} characters`,
    pattern: `Must have the form ${bound}`,
    format: `Must be ${FORMAT_WORDS[schema.format ?? ''] ?? schema.format}`,
    minimum: `Must be at least ${bound}`,
    maximum: `Must be at most ${bound}`,
    exclusiveMinimum: `Must be more than ${bound}`,
    exclusiveMaximum: `Must be less than ${bound}`,
    multipleOf: `Must be a multiple of ${bound}`,
    minItems: `Must have at least ${bound} ${bound === '1' ? 'item' : 'items'}`,
    maxItems: `Must have at most ${bound} items`,
    uniqueItems: 'Must not have an item twice',
  }
  return words[keyword] ?? otherwise
}

/** What the fields did not say: counts of keys, patterns of keys, combinations. */
function checkWhole(value: Json, root: Schema, faults: Faults): void {
  const all = faultsOf(tame(root), value)
  const deepest = all.at(-1)
  if (!deepest) return
  const path = deepest.instanceLocation.replace(/^#\/?/, '').split('/').map(decodeURIComponent).join('.')
  faults.set(path, deepest.error)
}

function faultsOf(schema: unknown, value: Json) {
  try {
    return new Validator(schema as object, '2020-12', false).validate(rounded(value)).errors
  } catch {
    return [] // the schema refers to what it has not; the database decides
  }
}

/** Keywords whose keys are names, not keywords. */
const NAMED = ['properties', '$defs', 'patternProperties', 'dependentSchemas']
const NO_RULES = ['default', 'examples', 'title', 'description', 'discriminator']

/** A schema without what this language reads otherwise, and without the parts that it leaves to the model. */
function tame(given: unknown): unknown {
  if (Array.isArray(given)) return given.map(tame)
  if (!isObject(given)) return given
  if (given['x-lenient']) return {}
  const kept = Object.entries(given).filter(([key, part]) => {
    if (part === undefined || NO_RULES.includes(key)) return false
    if (key === 'format') return !Object.hasOwn(FORMATS, String(part))
    return key !== 'pattern' || compiles(part)
  })
  return Object.fromEntries(kept.map(([key, part]) => [key, tamed(key, part)]))
}

function tamed(key: string, part: unknown): unknown {
  if (key === 'enum' || key === 'const') return part
  if (!NAMED.includes(key) || !isObject(part)) return tame(part)
  return Object.fromEntries(Object.entries(part).map(([name, schema]) => [name, tame(schema)]))
}

function compiles(pattern: unknown): boolean {
  try {
    return Boolean(new RegExp(String(pattern), 'u'))
  } catch {
    return false
  }
}
