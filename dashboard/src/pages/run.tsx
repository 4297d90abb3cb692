import { useRef } from 'react'
import { Link, useParams } from 'wouter'
import { useLiveQuery } from '../data/queries'
import { readAttempts, readRun, type Attempt, type Run } from '../data/runs'
import { parseExact } from '../lib/exact'
import { duration, percent } from '../lib/format'
import { go } from '../lib/urls'
import { Badge, Empty, ErrorNote, PageHead, Panel, Skeleton, StatusBadge, Text } from '../ui/basics'
import { Code, CopyButton, JsonView } from '../ui/copy'
import { Table, type Column } from '../ui/table'
import { Time } from '../ui/time'
import { Acts } from './run/acts'
import { Log } from './run/log'
import { Timeline } from './run/timeline'
import { WhyNote } from './run/why-note'
import '../styles/runs.css'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export default function Page() {
  const id = useParams<{ id: string }>().id ?? ''
  const isId = UUID.test(id)
  const known = useRef<number | undefined>(undefined)
  const { data: run, error, isPending, refetch } = useLiveQuery<Run | null>({
    queryKey: ['run', id],
    queryFn: ({ signal }) => readRun(id, signal),
    enabled: isId,
    touchedBy: ({ changes }) => changes.some((change) => change.row.id === known.current),
    patch: (shown, { changes }) => {
      const progress = changes.find((change) => change.row.id === shown?.scheduled_job_id)?.row.progress
      return shown?.status === 'running' && typeof progress === 'number' ? { ...shown, progress } : shown
    },
  })
  known.current = run?.scheduled_job_id
  if (!isId) return <Gone />
  if (error && !run) return <><PageHead title="Run" /><ErrorNote error={error} retry={() => void refetch()} /></>
  if (isPending) return <><PageHead title="Run" /><Skeleton rows={8} /></>
  return run ? <Known key={id} run={run} /> : <Gone />
}

function Known({ run }: { run: Run }) {
  const { job } = run
  const { data: attempts = [] } = useLiveQuery<Attempt[]>({
    queryKey: ['run', run.id, 'attempts', run.status],
    queryFn: ({ signal }) => readAttempts(run, signal),
    touchedBy: ({ changes }) => changes.some((change) => change.row.id === run.scheduled_job_id),
    keepPrevious: true,
  })
  return (
    <>
      <PageHead
        title={<><Text value={job.name ?? job.job_id} most={200} /> <StatusBadge status={run.status} reason={run.reason} /></>}
        lead={<>
          Run of <Link href={`/jobs/${job.id}`}>job {job.id}</Link>, handler <code><Text value={job.handler} /></code>
          {run.attempt > 1 && <>, attempt {run.attempt} of {job.max_attempts}</>}
          {run.test_mode && <> <Badge tone="warn">rehearsal</Badge></>}
          {' '}<CopyButton text={run.id} label="Copy the run’s id" />
        </>}
      >
        <Acts run={run} />
      </PageHead>
      <WhyNote run={run} attempts={attempts} />
      <Timeline run={run} />
      {run.progress !== null && run.status !== 'completed' && (
        <div className="run-progress">
          <progress value={run.progress} max={1} aria-label="Progress" /> <span>{percent(run.progress, 1)}</span>
        </div>
      )}
      {run.error !== null && <Code label="Error" text={run.error} most={4_000} />}
      <Traceback details={run.error_details} />
      {run.result !== null && <JsonView label="Result" text={run.result} />}
      <Log run={run} />
      <Attempts run={run} attempts={attempts} />
    </>
  )
}

function Traceback({ details }: { details: string | null }) {
  if (details === null) return null
  const { traceback } = parseExact(details) as { traceback?: unknown }
  return typeof traceback === 'string' ? <Code label="Traceback" text={traceback} /> : <JsonView label="Details of the error" text={details} />
}

const COLUMNS: Column<Attempt>[] = [
  { key: 'attempt', title: 'Attempt', cell: (row) => row.attempt, width: '5rem' },
  { key: 'status', title: 'Outcome', cell: (row) => <StatusBadge status={row.status} reason={row.reason} /> },
  { key: 'started', title: 'Started', cell: (row) => <Time at={row.started_at ?? row.run_at} /> },
  { key: 'duration', title: 'Took', cell: (row) => duration(row.duration_ms), align: 'end', width: '6rem' },
]

function Attempts({ run, attempts }: { run: Run; attempts: Attempt[] }) {
  if (attempts.length < 2) return null
  return (
    <Panel title="Attempts">
      <Table
        label="Attempts of this instant" columns={COLUMNS} rows={attempts} idOf={(row) => row.id} onOpen={(row) => go(`/runs/${row.id}`)}
        rowClass={(row) => (row.id === run.id ? 'is-open' : undefined)}
      />
    </Panel>
  )
}

function Gone() {
  return (
    <>
      <PageHead title="Run" />
      <Empty icon="runs" title="This run is not here">
        <p className="muted">
          The ledger keeps runs for <code>LISTENER_CLEANUP_AFTER_DAYS</code> after the end of their job, 7 days unless somebody set it otherwise; a job may
          have its own <code>cleanup_after_days</code>. A run is also gone with its job, and runs of workspaces that you are no member of do not show.
        </p>
        <p><Link href="/runs" className="button">All runs</Link></p>
      </Empty>
    </>
  )
}
