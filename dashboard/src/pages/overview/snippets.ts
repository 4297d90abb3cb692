export interface Values {
  url: string
  key: string
  token: string
  workspace: string | null
}

const NAME = 'My first job'

function row(workspace: string | null): Record<string, string> {
  return { name: NAME, handler: 'noop', ...(workspace ? { workspace_id: workspace } : {}) }
}

/** A module for Node 20, whose supabase-js needs the WebSocket of another package. */
export function javascriptOf({ url, key, token, workspace }: Values): string {
  const columns = Object.entries(row(workspace)).map(([column, value]) => `  ${column}: ${JSON.stringify(value)},`).join('\n')
  return `// npm install @supabase/supabase-js ws && node job.mjs
import { createClient } from '@supabase/supabase-js'
import ws from 'ws' // only before Node 22, which has a WebSocket of its own

const supabase = createClient(${JSON.stringify(url)}, ${JSON.stringify(key)}, {
  accessToken: async () => ${JSON.stringify(token)},
  realtime: { transport: ws },
})
const { data, error } = await supabase.from('scheduled_jobs').insert({
${columns}
}).select().single()
console.log(error ?? data)`
}

export function curlOf({ url, key, token, workspace }: Values): string {
  return [
    `curl ${quoted(`${url}/rest/v1/scheduled_jobs`)}`,
    `-H ${quoted(`apikey: ${key}`)}`,
    `-H ${quoted(`Authorization: Bearer ${token}`)}`,
    `-H 'Content-Type: application/json' -H 'Prefer: return=representation'`,
    `-d ${quoted(JSON.stringify(row(workspace)))}`,
  ].join(' \\\n  ')
}

export function sqlOf({ workspace }: Values): string {
  const entries = Object.entries(row(workspace))
  const values = entries.map(([, value]) => `'${value.replaceAll("'", "''")}'`).join(', ')
  return `insert into public.scheduled_jobs (${entries.map(([column]) => column).join(', ')})\nvalues (${values})\nreturning id, job_id, status;`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
