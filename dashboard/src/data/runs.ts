import type { Page } from '../lib/pages'
import { answer, supabase } from './client'
import type { Instant, JobStatus, RunStatus } from './types'

/** A row of `list_runs`; `error` has the first 300 characters. */
export interface RunSummary {
  id: string
  scheduled_job_id: number
  job_id: string
  name: string | null
  handler: string
  scheduled_for: Instant
  cause: 'schedule' | 'manual'
  attempt: number
  status: RunStatus
  reason: string | null
  test_mode: boolean
  started_at: Instant | null
  completed_at: Instant | null
  duration_ms: number | null
  lateness_ms: number | null
  progress: number | null
  error: string | null
  error_fingerprint: string | null
  run_at: Instant | null
}

/** Keys of the filter of `list_runs`; an empty list filters nothing. */
export interface RunFilter {
  status?: string[]
  reason?: string[]
  handler?: string[]
  cause?: string
  error_fingerprint?: string
  since?: Instant
  until?: Instant
}

export async function listRuns(workspace: string | null, filter: RunFilter, after: unknown, signal: AbortSignal): Promise<Page<RunSummary>> {
  const said = Object.entries(filter).filter(([, value]) => value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0))
  return answer(
    supabase.rpc('list_runs', { workspace, filter: Object.fromEntries(said), after, page: 50 }).abortSignal(signal),
  ) as Promise<Page<RunSummary>>
}

/** What a run's page must know of the job; `metadata` is JSON as text. */
export interface JobOfRun {
  id: number
  job_id: string
  name: string | null
  handler: string
  job_type: string | null
  status: JobStatus
  trigger_type: string
  timezone: string
  metadata: string
  error: string | null
  created_by: string | null
  source: string | null
  overlap: string
  misfire: string
  misfire_grace_seconds: number
  max_attempts: number
  retry_delay_seconds: number
  retry_backoff: number
  timeout_seconds: number
  priority: number
  concurrency_key: string | null
  store_result: boolean
}

/** A run as the ledger has it; `result` and `error_details` are JSON as text. */
export interface Run extends Omit<RunSummary, 'job_id' | 'name' | 'handler'> {
  workspace_id: string | null
  created_by: string | null
  listener_id: string | null
  result: string | null
  error_details: string | null
  blocked_since: Instant | null
  job: JobOfRun
}

const OF_JOB = 'id,job_id,name,handler,job_type,status,trigger_type,timezone,metadata::text,error,created_by,source,overlap,misfire,'
  + 'misfire_grace_seconds,max_attempts,retry_delay_seconds,retry_backoff,timeout_seconds,priority,concurrency_key,store_result'
const OF_RUN = 'id,scheduled_job_id,workspace_id,created_by,scheduled_for,cause,attempt,status,reason,test_mode,started_at,completed_at,'
  + 'duration_ms,lateness_ms,progress,error,error_fingerprint,error_details::text,result::text,listener_id,run_at,blocked_since'

/** The run, or null where the ledger does not have it for this person. */
export async function readRun(id: string, signal: AbortSignal): Promise<Run | null> {
  const rows = await answer(
    supabase.from('job_executions').select(`${OF_RUN},job:scheduled_jobs(${OF_JOB})`).eq('id', id).limit(1).abortSignal(signal),
  ) as unknown as Run[]
  return rows[0] ?? null
}

export type Attempt = Pick<Run, 'id' | 'attempt' | 'status' | 'reason' | 'started_at' | 'completed_at' | 'duration_ms' | 'run_at'>

/** All attempts of the due instant, in their order. */
export async function readAttempts(run: Run, signal: AbortSignal): Promise<Attempt[]> {
  return answer(
    supabase.from('job_executions').select('id,attempt,status,reason,started_at,completed_at,duration_ms,run_at')
      .eq('scheduled_job_id', run.scheduled_job_id).eq('scheduled_for', run.scheduled_for).eq('cause', run.cause)
      .order('attempt').limit(200).abortSignal(signal),
  ) as Promise<Attempt[]>
}

/** A line that the handler logged; `fields` is JSON as text. */
export interface LogLine {
  id: number
  at: Instant
  level: string
  message: string
  fields: string
}

export const LINES_A_PAGE = 1000

/** The lines behind one. */
export async function readLog(run: string, after: number, signal: AbortSignal): Promise<LogLine[]> {
  return answer(
    supabase.from('job_execution_logs').select('id,at,level,message,fields::text').eq('execution_id', run).gt('id', after)
      .order('id').limit(LINES_A_PAGE).abortSignal(signal),
  ) as unknown as Promise<LogLine[]>
}

export interface FailureGroup {
  error_fingerprint: string | null
  failures: number
  jobs: number
  handlers: string[]
  first_at: Instant
  last_at: Instant
  by_hour: number[]
  sample: Pick<RunSummary, 'id' | 'scheduled_job_id' | 'job_id' | 'name' | 'handler' | 'reason' | 'error'> & { completed_at: Instant }
}

export interface Failures {
  groups: FailureGroup[]
  more: boolean
}

export async function listFailures(workspace: string | null, hours: number, signal: AbortSignal): Promise<Failures> {
  return answer(supabase.rpc('list_failures', { workspace, hours, most: 100 }).abortSignal(signal)) as Promise<Failures>
}

export interface BulkAnswer {
  matched: number
  changed: number
  skipped: number
  more: boolean
  last: number | null
}

/** One call of `bulk_jobs`; the filter names at least one key besides `after`. */
export async function bulkJobs(action: 'retry' | 'run_now', filter: Record<string, unknown>, dryRun: boolean): Promise<BulkAnswer> {
  return answer(supabase.rpc('bulk_jobs', { action, filter, dry_run: dryRun })) as Promise<BulkAnswer>
}

export async function runJobNow(job: number, testMode: boolean): Promise<string> {
  return answer(supabase.rpc('run_job_now', { job, test_mode: testMode })) as Promise<string>
}

export async function changeJob(act: 'cancel_job' | 'retry_job', job: number): Promise<unknown> {
  return answer(supabase.rpc(act, { job }))
}
