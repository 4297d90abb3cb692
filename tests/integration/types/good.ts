import { createClient } from '@supabase/supabase-js'
import type { Database, ExposedHandler, Handler, ScheduledJobInsert, ScheduledJobUpdate } from './job.types'

declare const process: { env: Record<string, string> }
const supabase = createClient<Database>(process.env.URL, process.env.KEY)
const jobs = supabase.from('scheduled_jobs')
const later = '2999-01-01T00:00:00Z'

const one = await jobs.insert({ handler: 'noop', run_date: later }).select('id, status, metadata').single()
const id: number | undefined = one.data?.id

const moved = await jobs.update({ run_date: later, schedule: {}, priority: 3, status: 'paused' }).eq('id', id ?? 0)
const edit: ScheduledJobUpdate<'log'> = { handler: 'log', metadata: { message: 'later' }, trigger_type: 'daily', schedule: { time: '09:00' } }
const edited = await jobs.update(edit).eq('id', id ?? 0)
const cancelled = await jobs.update({ status: 'cancelled' }).eq('id', id ?? 0).select('status').single()

const several = await jobs.insert([
  { handler: 'noop', metadata: { anything: ['at', 'all'] }, run_date: later, trigger_type: 'once', status: 'paused' },
  { handler: 'log', metadata: { message: 'hello', level: 'warning' }, run_date: later, overlap: 'queue' },
  { handler: 'log', metadata: { message: 'hi' }, run_date: later, trigger_type: 'daily', schedule: { time: '08:00' } },
  {
    handler: 'log', metadata: { message: 'hi' }, run_date: later, trigger_type: 'weekly',
    schedule: { time: '10:00', days: ['monday'] }, timezone: 'Europe/Budapest', dst_fold: 'both',
  },
  {
    handler: 'log', metadata: { message: 'hi' }, run_date: later, trigger_type: 'monthly',
    schedule: { time: '10:00', days: [1, -1], missing_day: 'skip' },
  },
  { handler: 'noop', run_date: later, trigger_type: 'interval', schedule: { seconds: 30 } },
  { handler: 'noop', run_date: later, trigger_type: 'cron', schedule: { expression: '*/5 * * * *' }, misfire: 'skip' },
], { defaultToNull: false })

const payment: ScheduledJobInsert<'pay'> = {
  handler: 'pay',
  metadata: {
    by: { kind: 'card', number: '4111' }, amount: 12.5, currency: 'HUP', on: null, note: [1], place: [47.5, 19],
    shares: { ann: 1 },
  },
  run_date: later,
}
const paid = await jobs.insert(payment)
const tree = { handler: 'plant', metadata: { leaf: 'a', children: [{ leaf: 'b' }] }, run_date: later } satisfies
  ScheduledJobInsert<ExposedHandler>
const planted = await jobs.insert(tree)

const ledger = await supabase.from('job_executions').select('status, reason, scheduled_jobs (handler)').limit(1)
const reason: string | null | undefined = ledger.data?.[0]?.reason
const names: Handler[] = ['email', 'log', 'meeting_status', 'noop', 'pay', 'plant', 'webhook']

console.log(JSON.stringify([one, moved, edited, cancelled, several, paid, planted, ledger].map((answer) => answer.error)))
export { id, names, reason }
