export interface Values {
  url: string
  key: string
  email: string
  token: string
  workspace: string | null
}

const NAME = 'My first job'

function row(workspace: string | null): Record<string, string> {
  return { name: NAME, handler: 'noop', ...(workspace ? { workspace_id: workspace } : {}) }
}

export function javascriptOf({ url, key, email, workspace }: Values): string {
  const columns = Object.entries(row(workspace)).map(([column, value]) => `  ${column}: ${JSON.stringify(value)},`).join('\n')
  return `import { createClient } from '@supabase/supabase-js'

const supabase = createClient(${JSON.stringify(url)}, ${JSON.stringify(key)})
await supabase.auth.signInWithPassword({ email: ${JSON.stringify(email)}, password: '…' })
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
