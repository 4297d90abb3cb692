import { Link } from 'wouter'
import { answer, supabase } from '../../data/client'
import { useAct } from '../../data/queries'
import { useTenancy } from '../../data/session'
import { count } from '../../lib/format'
import { Button, Empty, ErrorNote, Line, Skeleton, StatusBadge, Text } from '../../ui/basics'
import { Table } from '../../ui/table'
import { Time } from '../../ui/time'
import { useCauses } from './causes'
import { CONDITIONS, useTenantRows, type AlertRow, type RuleRow } from './data'
import { NotifyOfFailures } from './notify-of-failures'

const ORDER = { firing: 0, acknowledged: 1, resolved: 2 }

/** What fires now first, then what is over. */
export function Firing() {
  const { canWrite } = useTenancy()
  const { data, error, isPending, refetch } = useTenantRows<AlertRow>('job_alerts', 'last_at', 200, 5_000)
  const rules = useTenantRows<RuleRow>('job_alert_rules', 'created_at')
  const causes = useCauses(data ?? [])
  const write = useAct({
    act: async ({ id, call }: { id: string; call: 'acknowledge_alert' | 'resolve_alert' }) => await answer(supabase.rpc(call, { alert: id })),
    touches: [['job_alerts']],
  })
  if (error) return <ErrorNote error={error} retry={() => void refetch()} />
  if (isPending) return <Skeleton rows={4} height={52} />
  if (data.length === 0) {
    return (
      <Empty icon="alerts" title={rules.data?.length === 0 ? 'No rules yet' : 'Nothing has fired'}>
        {rules.data?.length === 0 ? <NotifyOfFailures /> : <p className="muted">Alerts are kept for 90 days after they are over.</p>}
      </Empty>
    )
  }
  const actsOf = (alert: AlertRow) => alert.status !== 'resolved' && (
    <div className="row-acts">
      {alert.status === 'firing' && (
        <Button size="small" right={canWrite} onClick={() => write.mutate({ id: alert.id, call: 'acknowledge_alert' })}>Acknowledge</Button>
      )}
      <Button size="small" right={canWrite} onClick={() => write.mutate({ id: alert.id, call: 'resolve_alert' })}>Resolve</Button>
    </div>
  )
  const rows = [...data].sort((one, other) => ORDER[one.status] - ORDER[other.status])
  return (
    <Table<AlertRow>
      label="Alerts" rows={rows} idOf={(alert) => alert.id}
      columns={[
        { key: 'status', title: 'Status', width: '8.5rem', cell: (alert) => <StatusBadge status={alert.status} /> },
        {
          key: 'what', title: 'Alert',
          cell: (alert) => (
            <div className="alert-what">
              {alert.last_execution_id ? <Link href={`/runs/${alert.last_execution_id}`}><Line value={alert.message} /></Link> : <Line value={alert.message} />}
              {causes.errors.has(alert.last_execution_id ?? '') && <Line value={causes.errors.get(alert.last_execution_id ?? '') ?? ''} />}
              <span className="muted">
                {CONDITIONS[alert.condition].title} ·{' '}
                {alert.scheduled_job_id !== null ? <Link href={`/jobs/${alert.scheduled_job_id}`}><Text value={causes.names.get(alert.scheduled_job_id) ?? `job ${alert.scheduled_job_id}`} most={80} /></Link> : <Text value={alert.handler ?? 'all jobs'} />}
              </span>
              <div className="acts-below">{actsOf(alert)}</div>
            </div>
          ),
        },
        { key: 'occurrences', title: 'Occurrences', align: 'end', width: '7rem', isMinor: true, cell: (alert) => count(alert.occurrences) },
        { key: 'first', title: 'First', width: '8.5rem', isMinor: true, cell: (alert) => <Time at={alert.first_at} /> },
        { key: 'last', title: 'Last', width: '7rem', isMinor: true, cell: (alert) => <Time at={alert.last_at} as="relative" /> },
        { key: 'acts', title: <span className="visually-hidden">Acts</span>, width: '15rem', isMinor: true, cell: actsOf },
      ]}
    />
  )
}
