// What a stock supabase-js client sees of signing in; prints one JSON object.
import { createClient } from '@supabase/supabase-js'
import ws from 'ws'

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, EMAIL, EXPIRED } = process.env
const client = () => createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, {
  auth: { persistSession: false, flowType: 'pkce' }, realtime: { transport: ws } }) // Node 20 has no WebSocket of its own
const named = ({ error }) => error && [error.name, error.code, error.status]
const password = 'correct horse'

const browser = client()
const signedUp = await browser.auth.signUp({ email: EMAIL, password, options: { data: { name: 'Ada' } } })
const repeated = await client().auth.signUp({ email: EMAIL, password })
const weak = await client().auth.signUp({ email: `x${EMAIL}`, password: 'short' })
const wrong = await client().auth.signInWithPassword({ email: EMAIL, password: 'wrong' })
const signedIn = await browser.auth.signInWithPassword({ email: EMAIL, password })
const refreshed = await browser.auth.refreshSession()
const expired = await client().auth.refreshSession({ refresh_token: EXPIRED })
const me = await browser.auth.getUser()
const claims = await browser.auth.getClaims()

const seen = new Promise((done) => {
  browser.channel('jobs').on('postgres_changes', { event: '*', schema: 'public', table: 'scheduled_jobs' },
    (change) => change.new.status === 'paused' && done(change.new.created_by)).on('system', {}, async () => {
    const { data } = await browser.from('scheduled_jobs').insert({ handler: 'noop', run_date: '2999-01-01' }).select().single()
    await browser.rpc('pause_job', { job: data.id })
  }).subscribe()
})
const watched = await seen

const changed = await browser.auth.updateUser({ password: 'a new password', data: { name: null, colour: 'red' } })
const same = await browser.auth.updateUser({ password: 'a new password' })
const access = (await browser.auth.getSession()).data.session.access_token
const signedOut = await browser.auth.signOut()
const after = await client().auth.getUser(access)
const unserved = await client().auth.signInWithOtp({ email: EMAIL })

console.log(JSON.stringify({
  signedUp: signedUp.data.user?.user_metadata ?? named(signedUp),
  session: Boolean(signedUp.data.session),
  repeated: named(repeated), weak: [...named(weak), weak.error.reasons], wrong: named(wrong), expired: named(expired),
  rotated: refreshed.data.session.refresh_token !== signedIn.data.session.refresh_token,
  me: [me.data.user?.email, me.data.user?.identities?.[0].provider],
  claims: [claims.data?.claims.role, claims.data?.claims.aal],
  watched: watched === me.data.user.id,
  changed: changed.data.user?.user_metadata ?? named(changed), same: named(same),
  signedOut: signedOut.error, after: named(after), unserved: named(unserved),
}))
process.exit() // and not once the socket has closed
