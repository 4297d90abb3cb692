// What a stock supabase-js client sees; prints one JSON object.
import { createClient } from '@supabase/supabase-js'
import ws from 'ws'

const { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY, USER_TOKEN } = process.env
const quiet = { auth: { persistSession: false }, realtime: { transport: ws } } // Node 20 has no WebSocket of its own
const service = createClient(SUPABASE_URL, SUPABASE_SECRET_KEY, quiet)
const stranger = createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, quiet)
const user = createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, { realtime: { transport: ws }, accessToken: async () => USER_TOKEN })

const inserted = await service.from('scheduled_jobs').insert({ handler: 'noop', job_id: 'from-js' }).select().single()
const seen = await user.from('scheduled_jobs').select('job_id')
const refused = await stranger.from('scheduled_jobs').select('job_id')
const unserved = await service.functions.invoke('anything')
console.log(JSON.stringify({
  inserted: inserted.data?.job_id ?? inserted.error,
  seen: seen.data ?? seen.error,
  refused: refused.error?.code,
  unserved: unserved.error?.context?.status,
}))
