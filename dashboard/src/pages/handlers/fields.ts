export interface SchemaField {
  name: string
  type: string
  isRequired: boolean
  description: string | null
  initial: string | null
}

type Schema = Record<string, unknown>

/** The fields of an object's JSON schema, as pydantic emits it, for reading. */
export function fieldsOf(schema: Schema): SchemaField[] {
  const required = Array.isArray(schema.required) ? schema.required : []
  return Object.entries((schema.properties ?? {}) as Record<string, Schema>).map(([name, field]) => ({
    name,
    type: typeOf(field, schema),
    isRequired: required.includes(name),
    description: typeof field.description === 'string' ? field.description : null,
    initial: field.default === undefined || field.default === null ? null : JSON.stringify(field.default),
  }))
}

export function typeOf(field: Schema, root: Schema, depth = 0): string {
  if (depth > 6) return '…'
  if (typeof field.$ref === 'string') {
    const found = (root.$defs as Record<string, Schema> | undefined)?.[field.$ref.replace('#/$defs/', '')]
    return found ? typeOf(found, root, depth + 1) : 'object'
  }
  if (Array.isArray(field.enum)) return field.enum.map((value) => JSON.stringify(value)).join(' | ')
  if (field.const !== undefined) return JSON.stringify(field.const)
  const choices = field.anyOf ?? field.oneOf
  if (Array.isArray(choices)) return [...new Set(choices.map((choice: Schema) => typeOf(choice, root, depth + 1)))].join(' | ')
  if (field.type === 'array') return `${typeOf((field.items ?? {}) as Schema, root, depth + 1)}[]`
  if (typeof field.format === 'string') return `${field.type} (${field.format})`
  return Array.isArray(field.type) ? field.type.join(' | ') : typeof field.type === 'string' ? field.type : 'any'
}
