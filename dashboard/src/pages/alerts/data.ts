/** Alerts as the database has them (docs/alerts.md), and rules in words. */
import { answer, supabase } from '../../data/client'
import { useLiveQuery } from '../../data/queries'
import { useSession, useTenancy } from '../../data/session'
import type { Instant } from '../../data/types'
import { duration, plural } from '../../lib/format'

export type Condition = 'failed' | 'failing' | 'long_running' | 'late' | 'missed' | 'backlog' | 'no_listener'
export type ChannelKind = 'email' | 'webhook' | 'slack' | 'discord' | 'apprise'

export interface AlertRow {
  id: string
  rule_id: string
  condition: Condition
  subject: string
  scheduled_job_id: number | null
  handler: string | null
  status: 'firing' | 'acknowledged' | 'resolved'
  message: string
  occurrences: number
  last_execution_id: string | null
  first_at: Instant
  last_at: Instant
  acknowledged_at: Instant | null
  resolved_at: Instant | null
}

export interface RuleRow {
  id: string
  name: string | null
  scheduled_job_id: number | null
  handler: string | null
  condition: Condition
  threshold: number | null
  channel_ids: string[]
  cooldown_seconds: number
  repeat_seconds: number | null
  notify_recovery: boolean
  muted_until: Instant | null
  enabled: boolean
}

export interface ChannelRow {
  id: string
  name: string | null
  kind: ChannelKind
  target: string | null
  enabled: boolean
  confirmed_at: Instant | null
}

export interface DeliveryRow {
  id: string
  alert_id: string | null
  channel_id: string | null
  kind: 'firing' | 'repeat' | 'recovery' | 'test' | 'confirmation'
  channel_kind: ChannelKind | null
  target: string | null
  status: 'queued' | 'sent' | 'failed' | 'skipped'
  error: string | null
  attempts: number
  created_at: Instant
  sent_at: Instant | null
}

/** What `preview_alert_rule` returns. */
export interface Preview {
  alerts: number
  occurrences: number
  days: number
  more: boolean
  replayable: boolean
}

interface ConditionWords {
  title: string
  /** The unit of the threshold, its default, and where it lies. */
  threshold?: { unit: string; usual: number; least: number; most?: number }
  words: (threshold: number) => string
}

export const CONDITIONS: Record<Condition, ConditionWords> = {
  failed: { title: 'A run fails for good', words: () => 'a run fails for good' },
  failing: {
    title: 'One job fails several times in a row', threshold: { unit: 'failures in a row', usual: 3, least: 2, most: 50 },
    words: (threshold) => `one job fails ${threshold} times in a row`,
  },
  long_running: {
    title: 'A run takes long', threshold: { unit: 'seconds', usual: 300, least: 1 },
    words: (threshold) => `a run takes longer than ${duration(threshold * 1000)}`,
  },
  late: {
    title: 'A run begins late', threshold: { unit: 'seconds after it was due', usual: 60, least: 1 },
    words: (threshold) => `a run begins more than ${duration(threshold * 1000)} late`,
  },
  missed: {
    title: 'A due run stays away', threshold: { unit: 'seconds', usual: 300, least: 1 },
    words: (threshold) => `nothing ran ${duration(threshold * 1000)} after it was due`,
  },
  backlog: {
    title: 'Many due jobs wait', threshold: { unit: 'jobs', usual: 1000, least: 1 },
    words: (threshold) => `more than ${plural(threshold, 'due job')} wait`,
  },
  no_listener: {
    title: 'No listener runs the jobs', threshold: { unit: 'seconds', usual: 60, least: 1 },
    words: (threshold) => `no live listener has had the handler for ${duration(threshold * 1000)}`,
  },
}

/** "When a run of “report” fails for good" */
export function sentenceOf(rule: Pick<RuleRow, 'condition' | 'threshold' | 'handler' | 'scheduled_job_id'>): string {
  const { words, threshold } = CONDITIONS[rule.condition]
  const where = rule.scheduled_job_id !== null ? ` in job ${rule.scheduled_job_id}` : rule.handler ? ` with handler ${rule.handler}` : ''
  return `When ${words(rule.threshold ?? threshold?.usual ?? 1)}${where}`
}

/** The rows of the tenant that is open: of a workspace, or private ones. */
export function useTenantRows<Row>(table: string, order: string, most = 200, every = 15_000, status?: string) {
  const { workspace } = useTenancy()
  const { user } = useSession()
  return useLiveQuery<Row[]>({
    queryKey: [table, workspace ?? user?.id, status],
    every,
    touchedBy: table === 'job_alerts' ? ({ changes }) => changes.some(({ row }) => row.last_run_status === 'failed') : 'never',
    queryFn: async ({ signal }) => {
      const all = supabase.from(table).select('*').order(order, { ascending: false }).limit(most).abortSignal(signal)
      const own = workspace === null ? all.is('workspace_id', null).eq('created_by', user?.id ?? '') : all.eq('workspace_id', workspace)
      return await answer(status ? own.eq('status', status) : own) as Row[]
    },
  })
}
