import { Link } from 'wouter'
import { answer, supabase } from '../../data/client'
import { useLivePages } from '../../data/queries'
import type { RunSummary } from '../../data/runs'
import { duration } from '../../lib/format'
import { go } from '../../lib/urls'
import { Badge, Empty, ErrorNote, Line, Skeleton, StatusBadge } from '../../ui/basics'
import { type Column, More, Table } from '../../ui/table'
import { Time } from '../../ui/time'
import type { JobRow } from '../job-edit/row'

type Run = Pick<
  RunSummary, 'id' | 'scheduled_for' | 'cause' | 'attempt' | 'status' | 'reason' | 'test_mode' | 'duration_ms' | 'lateness_ms' | 'progress' | 'error'
>

const COLUMNS = 'id,scheduled_for,cause,attempt,status,reason,test_mode,duration_ms,lateness_ms,progress,error'
const PAGE = 50

/** Behind a run in the order of the ledger: newest due instant first. */
export const behind = ({ scheduled_for: at, cause, attempt }: Pick<Run, 'scheduled_for' | 'cause' | 'attempt'>): string =>
  `scheduled_for.lt."${at}",and(scheduled_for.eq."${at}",cause.lt.${cause}),and(scheduled_for.eq."${at}",cause.eq.${cause},attempt.lt.${attempt})`

export function RunsTab({ job }: { job: JobRow }) {
  const runs = useLivePages<Run>({
    queryKey: ['job runs', job.id],
    idOf: (run) => run.id,
    touchedBy: ({ changes }) => changes.some(({ row }) => row.id === job.id),
    fetchPage: async (after, signal) => {
      let request = supabase.from('job_executions').select(COLUMNS).eq('scheduled_job_id', job.id)
      if (after !== null) request = request.lte('scheduled_for', (after as Run).scheduled_for).or(behind(after as Run))
      for (const column of ['scheduled_for', 'cause', 'attempt']) request = request.order(column, { ascending: false })
      const rows = await answer<Run[] | null>(request.limit(PAGE).abortSignal(signal))
      return { rows, next: rows.length === PAGE ? rows.at(-1) : null }
    },
  })
  if (runs.error) return <ErrorNote error={runs.error} retry={runs.refetch} />
  if (runs.isLoading) return <Skeleton rows={8} />
  if (runs.rows.length === 0) {
    return <Empty icon="runs" title="No run yet"><p className="muted">{job.next_run_at ? <>The first is due <Time at={job.next_run_at} as="relative" />.</> : 'Nothing is due, and the ledger holds nothing.'}</p></Empty>
  }
  return (
    <>
      <Table label="Runs" columns={columns(job.timezone)} rows={runs.rows} idOf={(run) => run.id} onOpen={(run) => go(`/runs/${run.id}`)} />
      <More hasMore={runs.hasMore} isLoading={runs.isLoadingMore} load={runs.loadMore} />
    </>
  )
}

const columns = (zone: string): Column<Run>[] => [
  { key: 'at', title: 'Due', width: '150px', cell: (run) => <Link href={`/runs/${run.id}`}><Time at={run.scheduled_for} zone={zone} /></Link> },
  {
    key: 'status', title: 'Status', width: '190px',
    cell: (run) => (
      <>
        <span className="run-status"><StatusBadge status={run.status} reason={run.error?.includes(run.reason ?? '') ? null : run.reason} /></span>
        <span className="narrow muted">{run.duration_ms !== null && `took ${duration(run.duration_ms)}`}</span>
        {run.error && <span className="narrow"><Line value={run.error} className="bad" /></span>}
      </>
    ),
  },
  {
    key: 'cause', title: 'Cause', width: '150px', isMinor: true,
    cell: (run) => <>{run.cause === 'manual' ? 'manual' : 'schedule'}{run.attempt > 1 && <span className="muted"> · attempt {run.attempt}</span>}{run.test_mode && <> <Badge tone="warn">test</Badge></>}</>,
  },
  { key: 'late', title: 'Late by', width: '90px', align: 'end', isMinor: true, cell: (run) => duration(run.lateness_ms) },
  { key: 'took', title: 'Took', width: '90px', align: 'end', isMinor: true, cell: (run) => duration(run.duration_ms) },
  { key: 'error', title: 'Error', isMinor: true, cell: (run) => (run.error ? <Line value={run.error} className="bad" /> : null) },
]
