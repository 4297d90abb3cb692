import type { Json } from '../../data/types'
import { writeJson } from '../../form/json'
import { isExactNumber } from '../../lib/exact'

/** What is written: a new row, or changes of one. */
export interface Write {
  id: number | null
  columns: Record<string, Json>
}

export interface Project {
  url: string
  key: string
}

const JSON_COLUMNS = new Set(['metadata', 'schedule'])

/** The statement that writes the same; its literals are standard: quotes are doubled, backslashes are themselves. */
export function asSql({ id, columns }: Write): string {
  const entries = Object.entries(columns).map(([column, value]) => [column, literal(column, value)] as const)
  if (id !== null) {
    if (entries.length === 0) return '-- nothing changes'
    const set = entries.map(([column, value]) => `  ${column} = ${value}`).join(',\n')
    return `update public.scheduled_jobs\nset\n${set}\nwhere id = ${id};`
  }
  const names = entries.map(([column]) => column).join(', ')
  return `insert into public.scheduled_jobs (${names})\nvalues (\n${entries.map(([, value]) => `  ${value}`).join(',\n')}\n);`
}

function literal(column: string, value: Json): string {
  if (value === null) return 'null'
  if (JSON_COLUMNS.has(column)) return quoted(writeJson(value, 0))
  return typeof value === 'string' ? quoted(value) : String(value)
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`

/** The call of supabase-js; undefined where JavaScript would round a number. */
export function asJavaScript({ id, columns }: Write): string | undefined {
  if (hasExact(columns)) return undefined
  const object = javaScript(columns, 0)
  const table = "await supabase.from('scheduled_jobs')"
  return id === null ? `${table}.insert(${object})` : `${table}.update(${object}).eq('id', ${id})`
}

function hasExact(value: unknown): boolean {
  if (isExactNumber(value)) return true
  return typeof value === 'object' && value !== null && Object.values(value).some(hasExact)
}

function javaScript(value: Json, depth: number): string {
  if (Array.isArray(value)) return `[${value.map((item) => javaScript(item, depth)).join(', ')}]`
  if (typeof value !== 'object' || value === null) return typeof value === 'string' ? single(value) : String(value)
  const pad = '  '.repeat(depth + 1)
  const lines = Object.entries(value).map(([key, part]) => {
    const name = /^[A-Za-z_$][\w$]*$/.test(key) ? key : single(key)
    return `${pad}${name}: ${javaScript(part as Json, depth + 1)},`
  })
  return lines.length === 0 ? '{}' : `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}`
}

const single = (text: string) => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

/** The request, for a shell; its token stays a variable. */
export function asCurl({ id, columns }: Write, { url, key }: Project): string {
  const target = `${url}/rest/v1/scheduled_jobs${id === null ? '' : `?id=eq.${id}`}`
  return [
    `curl ${shell(target)}${id === null ? '' : ' -X PATCH'} \\`,
    `  -H ${shell(`apikey: ${key}`)} -H "Authorization: Bearer $ACCESS_TOKEN" \\`,
    `  -H 'Content-Type: application/json' -H 'Prefer: return=representation' \\`,
    `  -d ${shell(writeJson(columns, 0))}`,
  ].join('\n')
}

const shell = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
