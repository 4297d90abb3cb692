import { type Json, type JsonObject, isNumber, isObject } from './json'
import { type Schema, isSecret, partOf, resolved } from './schema'

const DEEPEST_START = 8
const REDACTED = '[redacted]'
/** As in `listener/masking/redaction.py`. */
const SECRET_NAME =
  /authorization|api[-_]?key|service[-_]?(role[-_]?)?key|secret|passw(or)?d|token|credential|cookie|private[-_]?key|database[-_]?url|db[-_]?url|(^|_)dsn/i

export const looksSecret = (name: string): boolean => SECRET_NAME.test(name)

/** What a new value starts as: what is required and can only be so; undefined where somebody must say it. */
export function startOf(given: Schema | undefined, root: Schema, depth = 0): Json | undefined {
  const { schema, shape, nullable } = partOf(given, root)
  if (schema.default !== undefined && depth > 0) return schema.default
  switch (shape.kind) {
    case 'constant':
      return shape.value
    case 'boolean':
      return nullable ? null : false
    case 'list':
      return []
    case 'object':
      return startOfObject(shape.properties, shape.required, root, depth)
    case 'union':
      return shape.variants[0] && depth < DEEPEST_START
        ? startOfVariant(shape.variants[0], root, shape.tag, depth + 1)
        : undefined
    case 'choice':
      return shape.options.length === 1 ? shape.options[0] : undefined
    default:
      return undefined
  }
}

function startOfObject(properties: [string, Schema][], required: Set<string>, root: Schema, depth: number): JsonObject {
  const start: JsonObject = {}
  for (const [name, property] of properties) {
    if (!required.has(name) || depth >= DEEPEST_START) continue
    const value = startOf(property, root, depth + 1)
    if (value !== undefined) start[name] = value
  }
  return start
}

/** The start of a variant of a union; its tag is always in it. */
export function startOfVariant(variant: Schema, root: Schema, tag: string | undefined, depth = 1): Json | undefined {
  const start = startOf(variant, root, depth)
  if (tag === undefined || !isObject(start)) return start
  const tagged = resolved(resolved(variant, root).properties?.[tag], root)
  const value = tagged.const ?? tagged.enum?.[0]
  return value === undefined ? start : { [tag]: value, ...start }
}

/** Which variant a value is of: by its tag, else by its type and its keys; the best of those that fit in part. */
export function variantOf(value: Json | undefined, variants: Schema[], root: Schema, tag?: string): number {
  const scores = variants.map((variant) => likeness(value, variant, root, tag, 0))
  return scores.indexOf(Math.max(...scores))
}

function likeness(value: Json | undefined, given: Schema, root: Schema, tag: string | undefined, depth: number): number {
  const { schema, shape, nullable } = partOf(given, root)
  if (value === undefined || depth > 4) return 0
  if (value === null) return nullable ? 3 : 0
  const inner = (part: Json, of: Schema) => likeness(part, of, root, undefined, depth + 1)
  switch (shape.kind) {
    case 'text':
    case 'secret':
      return typeof value === 'string' ? 2 : 0
    case 'integer':
      return isNumber(value) && isWhole(value) ? 3 : 0
    case 'number':
      return isNumber(value) ? 2 : 0
    case 'boolean':
      return typeof value === 'boolean' ? 2 : 0
    case 'constant':
      return value === shape.value ? 4 : 0
    case 'choice':
      return shape.options.includes(value) ? 3 : 0
    case 'list':
      return Array.isArray(value) ? 2 + average(value.slice(0, 3).map((item) => inner(item, shape.item))) : 0
    case 'union':
      return Math.max(0, ...shape.variants.map((each) => likeness(value, each, root, shape.tag, depth + 1)))
    case 'object':
      return isObject(value) ? likenessOfObject(value, shape, schema, root, tag, depth) : 0
    default:
      return schema.type === undefined || isOfType(value, schema.type) ? 1 : 0
  }
}

function likenessOfObject(
  value: JsonObject, shape: { properties: [string, Schema][]; required: Set<string>; others: Schema | null },
  schema: Schema, root: Schema, tag: string | undefined, depth: number,
): number {
  if (tag !== undefined) {
    const tagged = resolved(schema.properties?.[tag], root)
    const fits = tagged.const === undefined ? tagged.enum?.includes(value[tag] ?? null) : tagged.const === value[tag]
    return fits ? 10 : 0.5
  }
  const names = new Set(shape.properties.map(([name]) => name))
  const known = Object.keys(value).filter((key) => names.has(key))
  const missing = [...shape.required].filter((key) => !(key in value)).length
  const strange = shape.others ? 0 : Object.keys(value).length - known.length
  const given = shape.properties.filter(([key]) => key in value)
  const parts = given.map(([key, property]) => likeness(value[key], property, root, undefined, depth + 1))
  return Math.max(0.5, 2 + average(parts) - missing * 0.2 - strange * 0.5)
}

const average = (numbers: number[]) => (numbers.length ? numbers.reduce((a, b) => a + b, 0) / numbers.length / 4 : 0)

export function isWhole(value: number | { value: string }): boolean {
  if (typeof value === 'number') return Number.isInteger(value)
  return /^-?\d+(\.0+)?$/.test(value.value) || (/e\+?\d+$/i.test(value.value) && Number.isInteger(Number(value.value)))
}

function isOfType(value: Json, type: string | string[]): boolean {
  const kind = isNumber(value) ? 'number' : Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value
  return kind === type
}

/** A payload as it may be shown: without what its schema marks secret, the way `job_scheduler.without_secrets` does it. */
export function redacted(value: Json, given: Schema | boolean | undefined, root: Schema, depth = 32): Json {
  if (typeof given !== 'object' || value === null) return value
  if (depth <= 0 || isSecret(given)) return REDACTED
  let covered = given.$ref === undefined ? value : redacted(value, resolved({ $ref: given.$ref }, root), root, depth - 1)
  for (const branch of [...(given.anyOf ?? []), ...(given.oneOf ?? []), ...(given.allOf ?? [])]) {
    covered = redacted(covered, branch, root, depth - 1)
  }
  if (Array.isArray(covered)) {
    return covered.map((item, i) => redacted(item, given.prefixItems?.[i] ?? given.items, root, depth - 1))
  }
  if (!isObject(covered)) return covered
  const more = given.additionalProperties
  return Object.fromEntries(Object.entries(covered).map(([key, part]) => [
    key,
    given.secret === 'by_name' ? REDACTED : redacted(part, given.properties?.[key] ?? more, root, depth - 1),
  ]))
}
