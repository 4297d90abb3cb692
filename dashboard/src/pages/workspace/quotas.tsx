import { answer, supabase } from '../../data/client'
import { useLiveQuery } from '../../data/queries'
import { bytes, count, duration, percent } from '../../lib/format'
import { ErrorNote, Panel, Skeleton } from '../../ui/basics'
import { Meter } from '../../ui/meter'

type Quota = { limit: number | null; used: number | null }

const NAMES: Record<string, { title: string; show: (value: number) => string }> = {
  max_active_jobs: { title: 'Jobs that have not ended', show: count },
  max_running: { title: 'Runs at a time', show: count },
  max_manual_runs_per_minute: { title: 'Manual runs a minute', show: count },
  max_runs_per_minute: { title: 'Runs that start in a minute', show: count },
  max_queued_runs: { title: 'Queued manual runs of one job', show: count },
  max_stored_bytes: { title: 'Payloads of all jobs', show: bytes },
  max_payload_bytes: { title: 'Payload of one job', show: bytes },
  min_interval_seconds: { title: 'Shortest interval', show: (seconds) => duration(seconds * 1000) },
  max_timeout_seconds: { title: 'Longest timeout', show: (seconds) => duration(seconds * 1000) },
  max_alert_rules: { title: 'Alert rules', show: count },
  max_alert_channels: { title: 'Alert channels', show: count },
  max_alert_deliveries_per_hour: { title: 'Messages of alerts in an hour', show: count },
  max_past_seconds: { title: 'Oldest due instant', show: (seconds) => duration(seconds * 1000) },
}

export function Quotas({ workspace }: { workspace: string | null }) {
  const { data, error, refetch } = useLiveQuery({
    queryKey: ['quotas', workspace],
    queryFn: async ({ signal }) => await answer(supabase.rpc('list_quotas', { workspace }).abortSignal(signal)) as Record<string, Quota>,
  })
  const known = Object.keys(NAMES)
  const rows = Object.entries(data ?? {}).sort(([a], [b]) => known.indexOf(a) - known.indexOf(b))
  return (
    <Panel title="Quotas" className="wide">
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {!data && !error && <Skeleton rows={4} height={24} />}
      <ul className="rows quotas">
        {rows.map(([key, quota]) => <OneQuota key={key} name={key} quota={quota} />)}
      </ul>
      <p className="panel-body muted">The operator of the project sets quotas.</p>
    </Panel>
  )
}

function OneQuota({ name, quota }: { name: string; quota: Quota }) {
  const { title, show } = NAMES[name] ?? { title: name, show: count }
  const { limit, used } = quota
  return (
    <li>
      <span className="quota-title" title={name}>{title}</span>
      {used !== null && limit !== null && <Meter value={used} most={limit} label={title} />}
      <span className="number spring end">
        {used !== null && <>{show(used)} <span className="muted">of</span> </>}
        {limit === null ? 'no bound' : show(limit)}
        {used !== null && limit !== null && limit > 0 && <span className="muted"> · {percent(used, limit)}</span>}
      </span>
    </li>
  )
}
