import { type Json, isNumber, isObject } from './json'

/** A part of a JSON schema as pydantic writes it. */
export interface Schema {
  $ref?: string
  $defs?: Record<string, Schema>
  type?: string | string[]
  title?: string
  description?: string
  default?: Json
  examples?: Json[]
  enum?: Json[]
  const?: Json
  format?: string
  writeOnly?: boolean
  secret?: boolean | 'by_name'
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  patternProperties?: Record<string, Schema>
  propertyNames?: Schema
  items?: boolean | Schema
  prefixItems?: Schema[]
  minItems?: number
  maxItems?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  discriminator?: { propertyName: string; mapping?: Record<string, string> }
  'x-lenient'?: boolean
  [keyword: string]: unknown
}

export type Shape =
  | { kind: 'text' | 'secret' | 'integer' | 'number' | 'boolean' | 'null' | 'json' }
  | { kind: 'choice'; options: Json[] }
  | { kind: 'constant'; value: Json }
  | { kind: 'list'; item: Schema }
  | { kind: 'object'; properties: [name: string, schema: Schema][]; required: Set<string>; others: Schema | null }
  | { kind: 'union'; variants: Schema[]; tag: string | undefined }

/** How a part is shown: its schema without references, its shape, and whether null is allowed beside it. */
export interface Part {
  schema: Schema
  shape: Shape
  nullable: boolean
}

const MAX_DEPTH = 24
const MOST_PROPERTIES = 200

/** The schema behind `$ref`; what stands beside the reference (a default, a description) goes before it. */
export function resolved(schema: Schema | boolean | undefined, root: Schema): Schema {
  let found: Schema = typeof schema === 'object' && schema !== null ? schema : {}
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const single = found.allOf?.length === 1 ? found.allOf[0] : undefined
    if (found.$ref === undefined && !single) return found
    const { $ref, allOf, ...beside } = found
    found = { ...($ref === undefined ? single : target($ref, root)), ...beside }
    if ($ref !== undefined && allOf) found = { ...found, allOf }
  }
  return {}
}

function target(reference: string, root: Schema): Schema {
  let at: unknown = root
  for (const step of reference.replace(/^#\/?/, '').split('/').filter(Boolean)) {
    const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    at = isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined
  }
  return isObject(at) ? (at as unknown as Schema) : {}
}

export const isSecret = (schema: Schema): boolean =>
  schema.secret === true || (schema.format === 'password' && schema.writeOnly === true)

export function partOf(given: Schema | boolean | undefined, root: Schema, depth = 0): Part {
  const schema = resolved(given, root)
  const choices = depth < MAX_DEPTH ? branches(schema) : undefined
  if (choices) return partOfBranches(schema, choices, root, depth)
  return { schema, nullable: schema.type === 'null' || schema.enum?.includes(null) === true, shape: shapeOf(schema) }
}

function branches(schema: Schema): Schema[] | undefined {
  if (schema.anyOf?.length) return schema.anyOf
  if (schema.oneOf?.length) return schema.oneOf
  if (!Array.isArray(schema.type)) return undefined
  return schema.type.map((type) => ({ ...schema, type, title: undefined, description: undefined, default: undefined }))
}

function partOfBranches(schema: Schema, choices: Schema[], root: Schema, depth: number): Part {
  const variants = choices.filter((choice) => resolved(choice, root).type !== 'null')
  const nullable = variants.length < choices.length
  if (variants.length === 1 && variants[0]) {
    const { anyOf, oneOf, ...beside } = schema
    const only = partOf(variants[0], root, depth + 1)
    const merged = { ...only.schema, ...(Array.isArray(schema.type) ? {} : beside) }
    return { schema: merged, shape: isSecret(merged) ? { kind: 'secret' } : only.shape, nullable: nullable || only.nullable }
  }
  const listed = variants.map((variant) => values(resolved(variant, root)))
  if (variants.length > 0 && listed.every((each) => each)) {
    return { schema, shape: { kind: 'choice', options: listed.flatMap((each) => each ?? []) }, nullable }
  }
  return { schema, shape: { kind: 'union', variants, tag: schema.discriminator?.propertyName }, nullable }
}

const isPlain = (value: Json) => value === null || typeof value !== 'object' || isNumber(value)

function values(schema: Schema): Json[] | undefined {
  const listed = schema.enum ?? (schema.const === undefined ? undefined : [schema.const])
  return listed?.every(isPlain) ? listed.filter((value) => value !== null) : undefined
}

function shapeOf(schema: Schema): Shape {
  if (schema.allOf || (schema.const !== undefined && !isPlain(schema.const))) return { kind: 'json' }
  if (schema.const !== undefined) return { kind: 'constant', value: schema.const }
  const options = values(schema)
  if (options) return { kind: 'choice', options }
  switch (schema.enum ? 'other' : schema.type) {
    case 'string':
      return { kind: isSecret(schema) ? 'secret' : 'text' }
    case 'integer':
    case 'number':
    case 'boolean':
    case 'null':
      return { kind: schema.type as 'integer' }
    case 'array':
      if (schema.prefixItems || typeof schema.items !== 'object' || Object.keys(schema.items).length === 0) break
      return { kind: 'list', item: schema.items }
    case 'object':
      return shapeOfObject(schema)
  }
  return { kind: 'json' }
}

/** The catalogue's jsonb keeps no order of keys, but that of `required`; what is composed of others comes last. */
function inOrder(schema: Schema): [string, Schema][] {
  const required = schema.required ?? []
  const rank = ([name, property]: [string, Schema]) => {
    const place = required.indexOf(name)
    if (place >= 0) return place - required.length
    const isComposed = property.type === 'array' || property.type === 'object' || property.properties || property.$ref || property.oneOf
    return isComposed || (property.anyOf ?? []).some((each) => each.$ref || each.type === 'array' || each.type === 'object' || each.oneOf) ? 1 : 0
  }
  return Object.entries(schema.properties ?? {}).sort((a, b) => rank(a) - rank(b))
}

function shapeOfObject(schema: Schema): Shape {
  const properties = inOrder(schema)
  if (schema.patternProperties || properties.length > MOST_PROPERTIES) return { kind: 'json' }
  const more = schema.additionalProperties
  const others = typeof more === 'object' ? more : more === true ? {} : null
  if (properties.length === 0 && !others) return { kind: 'json' }
  return { kind: 'object', properties, required: new Set(schema.required), others }
}

/** A heading for a field: its title, unless pydantic made that of the name in its own way. */
export function labelOf(name: string, schema: Schema): string {
  const words = name.replaceAll('_', ' ').trim()
  const made = schema.title === undefined || schema.title.toLowerCase() === words.toLowerCase()
  return made || schema.type === 'object' ? sentence(words || name) : (schema.title ?? name)
}

export const sentence = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1)

const KIND_WORDS: Record<string, string> = {
  text: 'Text',
  secret: 'Secret',
  integer: 'Whole number',
  number: 'Number',
  boolean: 'Yes or no',
  object: 'Keys and values',
  choice: 'One of a list',
}

/** What a variant of a union is called: its title, or its type in words. */
export function variantLabel(variant: Schema, root: Schema, tag?: string, depth = 0): string {
  const { schema, shape } = partOf(variant, root)
  const tagged = tag === undefined ? undefined : resolved(schema.properties?.[tag], root).const
  if (typeof tagged === 'string') return tagged
  if (shape.kind === 'object' && schema.title) return schema.title
  if (shape.kind === 'list') return depth < 2 ? `List of ${variantLabel(shape.item, root, undefined, depth + 1).toLowerCase()}` : 'lists'
  if (shape.kind === 'constant') return String(shape.value)
  return KIND_WORDS[shape.kind] ?? schema.title ?? (schema.type === 'array' ? 'List as JSON' : 'JSON')
}

/** Whether a payload of this schema has fields, rather than being JSON of some kind. */
export function hasForm(schema: Schema | null): schema is Schema {
  if (!schema) return false
  const { shape } = partOf(schema, schema)
  return shape.kind === 'object' || shape.kind === 'union'
}
