import { useQuery } from '@tanstack/react-query'
import { answer, supabase } from '../../data/client'
import type { Instant, JobStatus, Json, TriggerType } from '../../data/types'
import { readJson } from '../../form/json'

/** The columns of a job that a client writes. */
export const COLUMNS = [
  'job_id', 'name', 'description', 'handler', 'metadata', 'trigger_type', 'run_date', 'schedule', 'timezone', 'ends_at', 'max_runs',
  'max_attempts', 'retry_delay_seconds', 'retry_backoff', 'timeout_seconds', 'priority', 'overlap', 'misfire', 'misfire_grace_seconds',
  'dst_gap', 'dst_fold', 'concurrency_key', 'cleanup_after_days', 'store_result', 'job_type', 'test_mode',
] as const
export type Column = (typeof COLUMNS)[number]
export type Definition = Partial<Record<Column, Json>>

export interface JobRow {
  id: number
  job_id: string
  workspace_id: string | null
  created_by: string | null
  name: string | null
  description: string | null
  handler: string
  job_type: string | null
  /** The payload with exact numbers. */
  metadata: Json
  trigger_type: TriggerType
  schedule: { [key: string]: Json }
  timezone: string
  run_date: Instant
  ends_at: Instant | null
  max_runs: number | null
  status: JobStatus
  max_attempts: number
  retry_delay_seconds: number
  retry_backoff: number
  timeout_seconds: number
  priority: number
  overlap: string
  misfire: string
  misfire_grace_seconds: number
  dst_gap: string
  dst_fold: string
  concurrency_key: string | null
  cleanup_after_days: number | null
  store_result: boolean
  test_mode?: boolean
  source: string | null
  revision: number
  created_at: Instant
  updated_at: Instant
  next_run_at: Instant | null
  last_run_at: Instant | null
  last_run_status: string | null
  last_run_duration_ms: number | null
  attempt: number
  total_runs: number
  scheduled_runs: number
  queued_runs: number
  progress: number | null
  step?: string | null
  error: string | null
  /** The text of the result. */
  result_text: string | null
}

const ROW = '*,metadata_text:metadata::text,result_text:result::text'

/** The job with this id, or null where there is none that the person may see. */
export async function fetchJob(id: number, signal: AbortSignal): Promise<JobRow | null> {
  const [row] = await answer<unknown[] | null>(supabase.from('scheduled_jobs').select(ROW).eq('id', id).abortSignal(signal))
  return row === undefined ? null : exactRow(row as Record<string, unknown>)
}

export function exactRow({ metadata_text, ...row }: Record<string, unknown>): JobRow {
  return { ...row, metadata: parsed(String(metadata_text)) } as unknown as JobRow
}

function parsed(text: string): Json {
  try {
    return readJson(text)
  } catch {
    return JSON.parse(text) as Json // has a key that no object of JavaScript holds
  }
}

/** Writes columns of a job unless it changed since; returns the row as it is then, or null. */
export async function updateJob(id: number, revision: number, columns: Definition): Promise<JobRow | null> {
  const request = supabase.from('scheduled_jobs').update(columns).eq('id', id).eq('revision', revision).select(ROW)
  const [row] = await answer<unknown[] | null>(request)
  return row === undefined ? null : exactRow(row as Record<string, unknown>)
}

/** Whether the database has jobs that always rehearse, as far as one of the jobs tells. */
export function useHasTestMode(): boolean {
  const { data } = useQuery({
    queryKey: ['has test mode'],
    queryFn: async ({ signal }) => {
      const [job] = await answer<object[] | null>(supabase.from('scheduled_jobs').select('*').limit(1).abortSignal(signal))
      return job !== undefined && 'test_mode' in job
    },
    staleTime: 600_000,
  })
  return data ?? false
}
