import type { LosslessNumber } from 'lossless-json'

export type JobStatus = 'scheduled' | 'running' | 'completed' | 'failed' | 'cancelled' | 'paused'
export type RunStatus = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled' | 'skipped'
export type TriggerType = 'once' | 'daily' | 'weekly' | 'monthly' | 'interval' | 'cron'
export type Role = 'viewer' | 'editor' | 'admin'
export type Json = null | boolean | number | string | LosslessNumber | Json[] | { [key: string]: Json }

/** ISO 8601 with offset, as PostgREST gives it. */
export type Instant = string

export interface Workspace {
  id: string
  name: string
  role: Role
  isOurs: boolean
}

export interface NewestFailure {
  id: string
  scheduled_job_id: number
  job_id: string
  name: string | null
  handler: string
  completed_at: Instant
  reason: string | null
  error: string | null
  error_fingerprint: string | null
}

export interface HourOfOutcomes {
  hour: Instant
  completed: number
  failed: number
  retried: number
  cancelled: number
  skipped: number
}

/** What `dashboard_overview(workspace)` returns. */
export interface Overview {
  now: Instant
  due_next_hour: number
  late: number
  oldest_due: Instant | null
  next_hours: number[]
  more: boolean
  running: number
  listeners: number
  last_heartbeat: Instant | null
  failures: { failed: number; retried: number; newest: NewestFailure[]; more: boolean }
  outcomes: HourOfOutcomes[]
}

export interface ListenerRow {
  id: string
  version: string
  started_at: Instant
  heartbeat_at: Instant
  is_alive: boolean
  handlers: string[]
  capacity: number
  running: number
}

export interface HandlerRow {
  name: string
  description: string
  payload_schema: Record<string, unknown>
  exposed: boolean
  updated_at: Instant
}

/** `changes` is the text of a JSON object: {column: [old, new]}. */
export interface AuditRow {
  id: number
  at: Instant
  scheduled_job_id: number
  job_id: string | null
  actor: string | null
  role: string
  action: string
  changes: string
}

export interface Member {
  workspace_id: string
  user_id: string
  role: Role
  created_at: Instant
}

export interface Invitation extends Member {
  workspace_name: string | null
  invited_by: string | null
}
