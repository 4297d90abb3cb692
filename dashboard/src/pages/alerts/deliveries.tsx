import { Badge, Empty, ErrorNote, Line, Skeleton, Text } from '../../ui/basics'
import { Table } from '../../ui/table'
import { Time } from '../../ui/time'
import { useTenantRows, type DeliveryRow } from './data'

const TONES = { queued: 'busy', sent: 'good', failed: 'bad', skipped: 'plain' }

/** What was sent, to whom, when, or why not. */
export function Deliveries() {
  const { data, error, isPending, refetch } = useTenantRows<DeliveryRow>('job_alert_deliveries', 'created_at', 200, 5_000)
  if (error) return <ErrorNote error={error} retry={() => void refetch()} />
  if (isPending) return <Skeleton rows={5} />
  if (data.length === 0) return <Empty icon="alerts" title="Nothing was sent yet"><p className="muted">Messages are kept for 90 days.</p></Empty>
  return (
    <Table<DeliveryRow>
      label="Deliveries" rows={data} idOf={(delivery) => delivery.id}
      columns={[
        { key: 'status', title: 'Status', width: '7rem', cell: ({ status }) => <Badge tone={TONES[status]}>{status}</Badge> },
        { key: 'kind', title: 'Message', width: '9rem', isMinor: true, cell: ({ kind }) => kind },
        { key: 'to', title: 'To', cell: ({ channel_kind, target }) => <Line value={[channel_kind, target].filter(Boolean).join(' ') || '–'} /> },
        { key: 'error', title: 'Why not', cell: ({ error: why }) => (why ? <Text value={why} most={300} /> : '') },
        { key: 'attempts', title: 'Attempts', align: 'end', width: '6rem', isMinor: true, cell: ({ attempts }) => attempts },
        { key: 'at', title: 'At', width: '9rem', isMinor: true, cell: ({ sent_at, created_at }) => <Time at={sent_at ?? created_at} /> },
      ]}
    />
  )
}
