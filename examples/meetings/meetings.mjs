// A signed-in user plans a meeting, lets it take longer, and watches it become done by itself.
import { createClient } from '@supabase/supabase-js'
import ws from 'ws' // only before Node 22, which has a WebSocket of its own

const { SUPABASE_URL, SUPABASE_ANON_KEY, USER_TOKEN } = process.env
const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, {
  accessToken: async () => USER_TOKEN,
  realtime: { transport: ws },
})

await supabase.realtime.setAuth() // or the first channel may join without the token, and see nothing

const inSeconds = (seconds) => new Date(Date.now() + seconds * 1000).toISOString()
const time = (text) => text.slice(11, 19)

function orStop({ data, error }) {
  if (error) throw new Error(error.message)
  return data
}

// Resolves once Realtime really listens; `SUBSCRIBED` alone comes too early.
function watch(table, show) {
  return new Promise((resolve) => {
    supabase.channel(`watch-${table}`)
      .on('postgres_changes', { event: '*', schema: 'public', table }, ({ new: row }) => show(row))
      .on('system', {}, ({ status }) => status === 'ok' && resolve())
      .subscribe()
  })
}

let markCompleted
const completed = new Promise((resolve) => { markCompleted = resolve })
await watch('meetings', (row) => console.log(`meeting  ${row.status}, ends at ${time(row.end_time)}`))
await watch('scheduled_jobs', (row) => {
  console.log(`its job  ${row.status}, due at ${time(row.run_date)}`)
  if (row.status === 'completed') markCompleted()
})

const meetings = supabase.from('meetings')
const plan = { title: 'Stand-up', start_time: inSeconds(0), end_time: inSeconds(4) }
const meeting = orStop(await meetings.insert(plan).select().single())

await new Promise((later) => setTimeout(later, 1500))
console.log('the meeting takes three seconds longer')
orStop(await meetings.update({ end_time: inSeconds(5.5) }).eq('id', meeting.id))

await completed // the job's last change follows the meeting's
await supabase.removeAllChannels()
process.exit(0)
