import { createClient } from '@supabase/supabase-js'
import type { Database, ExposedHandler, ScheduledJobInsert } from './job.types'

const jobs = createClient<Database>('http://localhost', 'key').from('scheduled_jobs')
const mine = createClient<Database<ExposedHandler>>('http://localhost', 'key').from('scheduled_jobs')

await jobs.insert({ handler: 'log', metadata: { message: 7 } }) // 'string'
await jobs.insert({ handler: 'log', metadata: { message: 'x', level: 'loud' } }) // "loud"
await jobs.insert({ handler: 'log', metadata: {} }) // 'message' is missing
await jobs.insert({ handler: 'log' }) // 'metadata' is missing
await jobs.insert({ handler: 'lgo', metadata: { message: 'x' } }) // "lgo"
await jobs.insert({ name: 'x' }) // 'handler' is missing
await jobs.insert([{ handler: 'noop' }, { handler: 'plant', metadata: { leaf: 'a', children: [{}] } }]) // 'leaf' is missing
await jobs.insert({ handler: 'pay', metadata: { by: { kind: 'cash' }, amount: 1 } }) // "cash"
await jobs.insert({ handler: 'pay', metadata: { by: { kind: 'bank', iban: 'x' }, amount: 1, place: [1] } }) // [number]
await jobs.insert({ handler: 'pay', metadata: { by: { kind: 'bank', iban: 'x' }, amount: 1, currency: 'XYZ' } }) // "XYZ"
await jobs.insert({ handler: 'noop', trigger_type: 'hourly', schedule: {} }) // "hourly"
await jobs.insert({ handler: 'noop', trigger_type: 'cron', schedule: { seconds: 5 } }) // 'seconds'
await jobs.insert({ handler: 'noop', trigger_type: 'weekly', schedule: { time: '10:00', days: ['funday'] } }) // "funday"
await jobs.insert({ handler: 'noop', status: 'done' }) // "done"
await jobs.insert({ handler: 'noop', total_runs: 7 }) // 'never'
await jobs.insert({ handler: 'noop', named: 'x' }) // 'never'
await jobs.update({ status: 'done' }).eq('id', 1) // "done"
await jobs.update({ handler: 'lgo' }).eq('id', 1) // "lgo"
await jobs.update({ handler: 'log', metadata: { message: 7 } }).eq('id', 1) // 'string'
await jobs.update({ result: {} }).eq('id', 1) // 'result'
await jobs.update({ schedule: { times: '08:00' } }).eq('id', 1) // 'never'
await mine.update({ handler: 'webhook' }).eq('id', 1) // "webhook"
await mine.insert({ handler: 'webhook', metadata: { url: 'https://example.com' } }) // "webhook"
export const typo = { handler: 'log', metadata: { message: 'x', levels: 'info' } } satisfies ScheduledJobInsert // 'levels'
