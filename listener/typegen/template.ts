// Written by `listener types`; write it again after a handler has changed.
import type { Database as Stock } from './database.types'

type StockJobs = Stock['public']['Tables']['scheduled_jobs']

/** The names of the handlers. */
export type Handler = keyof HandlerPayloads

/** Those that signed-in users may schedule. */
export type ExposedHandler = 'EXPOSED'

/** A row for `scheduled_jobs`: which handler, with what, and when. */
export type ScheduledJobInsert<H extends Handler = Handler> = { [Name in H]: Job<Name> }[H]

/** What a client may write into a job that is there; a payload is that of `handler`, where it is named, or of any. */
export type ScheduledJobUpdate<H extends Handler = Handler> = Edit<H> & Move

/** The stock `Database`, but jobs can only be what a handler takes. */
export type Database<H extends Handler = Handler> = Omit<Stock, 'public'> & {
  public: Omit<Stock['public'], 'Tables'> & {
    Tables: Omit<Stock['public']['Tables'], 'scheduled_jobs'> & {
      scheduled_jobs: Omit<StockJobs, 'Insert' | 'Update'> & {
        Insert: ScheduledJobInsert<H>
        Update: ScheduledJobUpdate<H>
      }
    }
  }
}

type Job<H extends Handler> = Omit<StockJobs['Insert'], ServiceOwned | 'handler' | 'metadata' | keyof Words | keyof Timing> &
  Words &
  Timing & { handler: H } & Metadata<HandlerPayloads[H]>

type Edit<H extends Handler> =
  | { handler?: undefined; metadata?: HandlerPayloads[H] }
  | { [Name in H]: { handler: Name; metadata?: HandlerPayloads[Name] } }[H]

type Move = Omit<StockJobs['Update'], ServiceOwned | 'handler' | 'metadata' | keyof Words | keyof Timing> &
  Omit<Words, 'status'> &
  (Timing | { trigger_type?: undefined; schedule?: Timing['schedule'] }) & { status?: 'scheduled' | 'paused' | 'cancelled' }

type Metadata<Payload> = {} extends Payload ? { metadata?: Payload } : { metadata: Payload }

/** Columns that the service writes; a client that writes them is refused. */
type ServiceOwned =
  | 'id' | 'created_by' | 'next_run_at' | 'attempt' | 'last_run_at' | 'last_run_status' | 'last_run_duration_ms'
  | 'total_runs' | 'successful_runs' | 'failed_runs' | 'scheduled_runs' | 'queued_runs' | 'result' | 'error'
  | 'claimed_by' | 'lease_expires_at' | 'revision' | 'changed_in' | 'created_at' | 'updated_at' | 'due_at' | 'defined_at'
  | 'is_planned' | 'progress' | 'step' | 'source' | 'exposed_only'

/** Columns that are words to the database, of which only these are allowed. */
type Words = {
  status?: 'scheduled' | 'paused'
  overlap?: 'skip' | 'queue' | 'allow' | 'replace'
  misfire?: 'run_once' | 'run_all' | 'skip'
  dst_gap?: 'run_after' | 'skip'
  dst_fold?: 'first' | 'second' | 'both'
}

type Weekday = 'monday' | 'tuesday' | 'wednesday' | 'thursday' | 'friday' | 'saturday' | 'sunday'

type Timing =
  | { trigger_type?: 'once'; schedule?: Record<string, never> }
  | { trigger_type: 'daily'; schedule: { time: string } }
  | { trigger_type: 'weekly'; schedule: { time: string; days: Weekday[] } }
  | { trigger_type: 'monthly'; schedule: { time: string; days: number[]; missing_day?: 'last' | 'skip' } }
  | { trigger_type: 'interval'; schedule: { seconds: number } }
  | { trigger_type: 'cron'; schedule: { expression: string } }
