// How fast a meeting's job follows its meeting: several rounds with a stock supabase-js client, in milliseconds.
import { createClient } from '@supabase/supabase-js'
import ws from 'ws'

const { SUPABASE_URL, SUPABASE_SECRET_KEY, ROUNDS } = process.env
const client = createClient(SUPABASE_URL, SUPABASE_SECRET_KEY, { realtime: { transport: ws }, auth: { persistSession: false } })
const meetings = () => client.from('meetings')
const ok = ({ data, error }) => {
  if (error) throw new Error(JSON.stringify(error))
  return data
}
const hours = (n) => new Date(Date.now() + n * 3_600_000).toISOString()
const jobOf = async (id) =>
  ok(await client.from('scheduled_jobs').select('status,run_date,handler').eq('job_id', `meeting-status:${id}`).maybeSingle())

const reported = { inserted: [], moved: [], cancelled: [], deleted: [] }
const timed = async (act, follows, id) => {
  const began = performance.now()
  await act()
  while (!follows(await jobOf(id))) {
    if (performance.now() - began > 5000) throw new Error(`the job did not follow: ${JSON.stringify(await jobOf(id))}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return Math.round(performance.now() - began)
}
const insert = (id) => async () => ok(await meetings().insert({ id, title: 'weekly', start_time: hours(1), end_time: hours(2) }))

for (let round = 0; round < Number(ROUNDS); round += 1) {
  const [id, doomed] = [crypto.randomUUID(), crypto.randomUUID()]
  const later = hours(3)
  const moved = async () => ok(await meetings().update({ end_time: later }).eq('id', id))
  const cancelled = async () => ok(await meetings().update({ status: 'cancelled' }).eq('id', id))
  const deleted = async () => ok(await meetings().delete().eq('id', doomed))
  reported.inserted.push(await timed(insert(id), (job) => job?.status === 'scheduled' && job.handler === 'meeting_status', id))
  reported.moved.push(await timed(moved, (job) => Date.parse(job.run_date) === Date.parse(later), id))
  reported.cancelled.push(await timed(cancelled, (job) => job.status === 'cancelled', id))
  await timed(insert(doomed), (job) => job?.status === 'scheduled', doomed)
  reported.deleted.push(await timed(deleted, (job) => job === null || job.status === 'cancelled', doomed))
}
console.log(JSON.stringify(reported))
process.exit(0)
