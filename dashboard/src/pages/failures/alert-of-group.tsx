import type { FailureGroup } from '../../data/runs'
import { go } from '../../lib/urls'
import { showDone } from '../../ui/toast'
import { useTenantRows, type ChannelRow, type RuleRow } from '../alerts/data'
import { RuleDialog } from '../alerts/rule-dialog'

/** A rule about what failed with an error: its job, else its handler, else all jobs. */
export function AlertOfGroup({ group, onClose }: { group: FailureGroup; onClose: () => void }) {
  const channels = useTenantRows<ChannelRow>('job_alert_channels', 'created_at')
  return (
    <RuleDialog
      rule={null} start={startOf(group)} channels={channels.data ?? []} onClose={onClose}
      onSaved={() => showDone('The rule is there.', { label: 'Rules', press: () => go('/alerts?tab=rules') })}
    />
  )
}

export function startOf({ jobs, handlers, sample }: Pick<FailureGroup, 'jobs' | 'handlers' | 'sample'>): Partial<RuleRow> {
  if (jobs === 1) return { condition: 'failed', scheduled_job_id: sample.scheduled_job_id }
  return { condition: 'failed', handler: handlers.length === 1 ? (handlers[0] ?? null) : null }
}
