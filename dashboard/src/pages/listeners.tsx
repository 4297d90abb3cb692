import { answer, supabase } from '../data/client'
import { useLiveQuery } from '../data/queries'
import type { ListenerRow } from '../data/types'
import { useLiveState } from '../data/live'
import { count, plural } from '../lib/format'
import { Badge, Empty, ErrorNote, PageHead, Skeleton, Text } from '../ui/basics'
import { Meter } from '../ui/meter'
import { Table } from '../ui/table'
import { Time } from '../ui/time'
import { HowToStart } from './listeners/how-to-start'
import '../styles/catalogue.css'

export default function Listeners() {
  const { data, error, refetch } = useLiveQuery({
    queryKey: ['listeners'],
    queryFn: async ({ signal }) => await answer(supabase.rpc('list_listeners').abortSignal(signal)) as ListenerRow[],
  })
  const alive = data?.filter((one) => one.is_alive) ?? []
  const rows = [...alive, ...(data?.filter((one) => !one.is_alive) ?? [])]
  return (
    <>
      <PageHead title="Listeners" lead={data && <Summary alive={alive} />} />
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {!data && !error && <Skeleton rows={3} />}
      {data && alive.length === 0 && (
        <Empty icon="listeners" title={data.length === 0 ? 'No listener yet' : 'No listener is alive'}>
          <p className="muted">Jobs wait until one is. Start it on any machine that reaches the project:</p>
          <HowToStart />
        </Empty>
      )}
      {rows.length > 0 && (
        <Table
          label="Listeners" rows={rows} idOf={(row) => row.id} rowClass={(row) => (row.is_alive ? undefined : 'gone')}
          columns={[
            { key: 'state', title: 'State', width: '6.5rem', cell: (row) => <><Badge tone={row.is_alive ? 'good' : 'quiet'}><span className="badge-dot" />{row.is_alive ? 'alive' : 'gone'}</Badge><span className="narrow muted"> <Text value={row.version} /></span></> },
            { key: 'id', title: 'Listener', width: '7.5rem', isMinor: true, cell: (row) => <span className="mono" title={row.id}>{row.id.slice(0, 8)}</span> },
            { key: 'version', title: 'Version', width: '6.5rem', isMinor: true, cell: (row) => <Text value={row.version} /> },
            { key: 'load', title: 'Your runs', width: '9rem', cell: (row) => <Load running={row.running} capacity={row.capacity} /> },
            { key: 'handlers', title: 'Handlers', isMinor: true, cell: (row) => <Names names={row.handlers} /> },
            { key: 'beat', title: 'Heartbeat', width: '7rem', align: 'end', cell: (row) => <Time at={row.heartbeat_at} as="relative" /> },
            { key: 'up', title: 'Started', width: '7.5rem', align: 'end', isMinor: true, cell: (row) => <Time at={row.started_at} as="relative" /> },
          ]}
        />
      )}
      {data && <Channels />}
    </>
  )
}

function Summary({ alive }: { alive: ListenerRow[] }) {
  const capacity = alive.reduce((sum, one) => sum + one.capacity, 0)
  const versions = new Set(alive.map((one) => one.version)).size
  return <>{plural(alive.length, 'listener')} alive, {alive.length === 1 ? 'which runs' : 'which run'} {count(capacity)} jobs at a time{versions > 1 && `, of ${versions} versions`}. Each also runs jobs of others that you do not see.</>
}

function Load({ running, capacity }: { running: number; capacity: number }) {
  return (
    <span className="load">
      <Meter value={running} most={capacity} label="Your runs, of its capacity" width={44} />
      <span className="number">{count(running)} / {count(capacity)}</span>
    </span>
  )
}

function Names({ names }: { names: string[] }) {
  return <span className="names">{names.map((name) => <span key={name} className="mono"><Text value={name} most={60} /></span>)}</span>
}

/** How changes reach this page; how they reach the listeners is for their operator's /readyz. */
function Channels() {
  const state = useLiveState()
  return (
    <p className="muted page-foot">
      This page: {state === 'live' ? 'Realtime delivers changes, and a poll checks them every 15 seconds' : state === 'polling' ? 'Realtime delivers nothing, a poll reads every 15 seconds' : state}.
      {' '}The notification channels of a listener are shown by its <code>/readyz</code>.
    </p>
  )
}
