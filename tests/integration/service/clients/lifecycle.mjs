// A job's life as a stock supabase-js client sees it through postgres_changes; prints one JSON object.
import { createClient } from '@supabase/supabase-js'
import ws from 'ws'

const { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY, USER_TOKEN, STRANGER_TOKEN } = process.env
const transport = { realtime: { transport: ws } } // Node 20 has no WebSocket of its own
const as = (token) => createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, { ...transport, accessToken: async () => token })
const client = USER_TOKEN ? as(USER_TOKEN) : createClient(SUPABASE_URL, SUPABASE_SECRET_KEY, { ...transport, auth: { persistSession: false } })
const stranger = as(STRANGER_TOKEN)
if (USER_TOKEN) await client.realtime.setAuth() // else the first join still has the public key
await stranger.realtime.setAuth()
const jobs = (who) => who.from('scheduled_jobs')

const watch = async (who, filter) => {
  const seen = []
  const changes = { event: '*', schema: 'public', table: 'scheduled_jobs', filter }
  const channel = who.channel(`watch ${filter}`).on('postgres_changes', changes, (change) => {
    const status = change.new.status ?? ''
    seen.push(`${change.eventType} ${status}`.trim())
  })
  await new Promise((resolve, reject) => {
    channel.on('system', {}, (message) => (message.status === 'ok' ? resolve() : reject(new Error(message.message)))).subscribe()
  })
  return seen
}
const ok = ({ data, error }) => {
  if (error) throw new Error(JSON.stringify(error))
  return data
}
const until = async (true_) => {
  for (let n = 0; n < 500 && !(await true_()); n += 1) await new Promise((resolve) => setTimeout(resolve, 20))
}
const dueIn = (seconds) => new Date(Date.now() + seconds * 1000).toISOString()

const key = `js-${crypto.randomUUID()}`
const inserted = await watch(client, `job_id=eq.${key}`)
const row = { handler: 'noop', run_date: dueIn(3600) }
const other = ok(await jobs(client).insert(row).select().single())
const job = ok(await jobs(client).insert({ ...row, job_id: key }).select().single())
await until(() => inserted.length) // then neither insert can come late, to those who watch from now on
const [seen, overheard] = await Promise.all([watch(client, `id=eq.${job.id}`), watch(stranger, `id=eq.${job.id}`)])
ok(await jobs(client).update({ run_date: dueIn(0.5) }).eq('id', job.id))
await until(() => seen.includes('UPDATE completed'))
ok(await jobs(client).delete().eq('id', job.id))
await until(() => seen.includes('DELETE'))

const cancelled = await watch(client, `id=eq.${other.id}`)
ok(await jobs(client).update({ status: 'cancelled' }).eq('id', other.id))
await until(() => cancelled.length)
const visible = ok(await jobs(stranger).select('id').eq('id', other.id))

console.log(JSON.stringify({ inserted: inserted[0], seen, cancelled, overheard, visible }))
process.exit(0)
