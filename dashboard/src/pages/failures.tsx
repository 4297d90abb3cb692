import { useState, type ReactNode } from 'react'
import { Link } from 'wouter'
import { useLiveQuery } from '../data/queries'
import { listFailures, type FailureGroup, type Failures } from '../data/runs'
import { useTenancy } from '../data/session'
import { count, plural } from '../lib/format'
import { go, useParameters } from '../lib/urls'
import { Button, Empty, ErrorNote, Line, PageHead, Skeleton } from '../ui/basics'
import { Spark } from '../ui/bars'
import { useCommands } from '../ui/keys'
import { Table, type Column } from '../ui/table'
import { Time } from '../ui/time'
import { AlertOfGroup } from './failures/alert-of-group'
import { BulkRetry } from './runs/bulk-retry'
import '../styles/runs.css'

const RANGES = [['1', 'Last hour'], ['24', 'Last 24 hours'], ['168', 'Last 7 days']] as const

export default function Page() {
  const { workspace, canWrite } = useTenancy()
  const [parameters, setParameters] = useParameters()
  const hours = RANGES.find(([value]) => value === parameters.get('hours'))?.[0] ?? '24'
  const [pointed, setPointed] = useState<FailureGroup | null>(null)
  const [alerted, setAlerted] = useState<FailureGroup | null>(null)
  const [retried, setRetried] = useState<FailureGroup | null>(null)
  const { data, error, isPending, refetch } = useLiveQuery<Failures>({
    queryKey: ['failures', workspace, hours],
    queryFn: ({ signal }) => listFailures(workspace, Number(hours), signal),
    touchedBy: ({ changes }) => changes.some((change) => change.row.last_run_status === 'failed'),
  })
  useCommands([{ title: 'Retry the jobs of the chosen group', key: 'r', run: () => pointed && setRetried(pointed), why: canWrite.why, isListed: pointed !== null }])

  const acts = (group: FailureGroup) => (
    <div className="row-acts">
      <Button size="small" icon="retry" right={canWrite} onClick={() => setRetried(group)}>Retry</Button>
      <Button size="small" icon="alerts" right={canWrite} onClick={() => setAlerted(group)}>Alert</Button>
    </div>
  )
  return (
    <>
      <PageHead title="Failures" lead="Grouped by error, without what differs from one to the next: ids, instants, amounts.">
        <select className="select" aria-label="Range" value={hours} onChange={(event) => setParameters({ hours: event.currentTarget.value })}>
          {RANGES.map(([value, label]) => <option key={value} value={value}>{label}</option>)}
        </select>
      </PageHead>
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {isPending && !error && <Skeleton rows={6} height={52} />}
      {data?.more && <p className="muted">Only the newest 10,000 failures are counted.</p>}
      {data && data.groups.length === 0 && (
        <Empty icon="check" title={`Nothing failed in the ${RANGES.find(([value]) => value === hours)?.[1].toLowerCase()}`}>
          <p className="muted">Attempts that are tried again count as failures too, and would be here.</p>
        </Empty>
      )}
      {data && data.groups.length > 0 && (
        <Table
          label="Failures" columns={columnsOf(acts)} rows={data.groups} idOf={(group) => group.error_fingerprint ?? group.sample.id}
          onOpen={open} onChosen={setPointed}
        />
      )}
      {alerted && <AlertOfGroup group={alerted} onClose={() => setAlerted(null)} />}
      {retried && (
        <BulkRetry
          title={`Retry ${plural(retried.jobs, 'job')} with this error?`}
          filter={{ workspace_id: workspace, error_fingerprint: retried.error_fingerprint }} onClose={() => setRetried(null)}
        />
      )}
    </>
  )
}

function open(group: FailureGroup): void {
  go(group.error_fingerprint ? `/runs?status=failed&error=${group.error_fingerprint}` : `/runs/${group.sample.id}`)
}

function columnsOf(acts: (group: FailureGroup) => ReactNode): Column<FailureGroup>[] {
  return [
    { key: 'failures', title: 'Failures', align: 'end', cell: (group) => <strong>{count(group.failures)}</strong>, width: '6rem' },
    { key: 'trend', title: 'Last 24 h', cell: (group) => <Spark values={group.by_hour} label={trendOf(group.by_hour)} />, isMinor: true, width: '8rem' },
    {
      key: 'error', title: 'Error',
      cell: (group) => (
        <div className="run-job">
          <Link href={`/runs/${group.sample.id}`}><Line value={group.sample.error ?? group.sample.reason ?? 'no message'} /></Link>
          <span className="muted failure-where">
            {group.sample.reason && <><Line value={group.sample.reason} /> · </>}
            <Line value={group.handlers.slice(0, 3).join(', ')} />
            {group.handlers.length > 3 && ` and ${group.handlers.length - 3} more`}
          </span>
          <div className="acts-below">{acts(group)}</div>
        </div>
      ),
    },
    { key: 'jobs', title: 'Jobs', align: 'end', cell: (group) => count(group.jobs), isMinor: true, width: '4.5rem' },
    { key: 'first', title: 'First', cell: (group) => <Time at={group.first_at} />, isMinor: true, width: '8.5rem' },
    { key: 'last', title: 'Last', cell: (group) => <Time at={group.last_at} as="relative" />, width: '7.5rem' },
    { key: 'acts', title: <span className="visually-hidden">Acts</span>, cell: acts, isMinor: true, width: '13.5rem' },
  ]
}

function trendOf(hours: number[]): string {
  const sum = hours.reduce((total, one) => total + one, 0)
  return `${plural(sum, 'failure')} in 24 hours, ${count(hours.at(-1) ?? 0)} in the last one`
}
