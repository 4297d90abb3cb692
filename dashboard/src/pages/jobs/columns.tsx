import { Link } from 'wouter'
import { duration, plural } from '../../lib/format'
import { hasZone, scheduleWords } from '../../lib/schedule'
import { Line, StatusBadge } from '../../ui/basics'
import { Outcomes } from '../../ui/bars'
import type { Column } from '../../ui/table'
import { Time } from '../../ui/time'
import type { JobListRow, JobOutcomes } from './list'
import { titleOf } from './list'

interface ColumnsOf {
  outcomes: Map<number, JobOutcomes>
  selected: ReadonlySet<number>
  isAllSelected: boolean
  user: string
  select: (ids: number[], isOn: boolean) => void
  rows: JobListRow[]
}

export function jobColumns({ outcomes, selected, isAllSelected, user, select, rows }: ColumnsOf): Column<JobListRow>[] {
  return [
    {
      key: 'select',
      width: '34px',
      title: (
        <input
          type="checkbox" aria-label="Select all that are shown" checked={rows.length > 0 && rows.every((job) => selected.has(job.id))}
          disabled={isAllSelected} onChange={(event) => select(rows.map(({ id }) => id), event.currentTarget.checked)}
        />
      ),
      cell: (job) => (
        <input
          type="checkbox" aria-label={`Select ${titleOf(job)}`} checked={isAllSelected || selected.has(job.id)} disabled={isAllSelected}
          onChange={(event) => select([job.id], event.currentTarget.checked)}
        />
      ),
    },
    {
      key: 'name',
      title: 'Job',
      cell: (job) => (
        <>
          <Link href={`/jobs/${job.id}`} className="job-name"><Line value={titleOf(job)} /></Link>
          <Line value={job.handler} className="muted mono" />
        </>
      ),
    },
    { key: 'status', title: 'Status', width: '118px', cell: (job) => <><Status job={job} /><span className="narrow-next"><Next job={job} as="relative" /></span></> },
    { key: 'schedule', title: 'Schedule', cell: (job) => <Schedule job={job} />, isMinor: true },
    { key: 'next', title: 'Next', width: '170px', isMinor: true, cell: (job) => <Next job={job} as="both" /> },
    {
      key: 'outcomes',
      title: 'Last runs',
      width: '140px',
      isMinor: true,
      cell: (job) => <Outcomes outcomes={outcomes.get(job.id)?.outcomes ?? []} />,
    },
    { key: 'p95', title: 'p95', width: '84px', align: 'end', isMinor: true, cell: (job) => duration(outcomes.get(job.id)?.p95_ms) },
    { key: 'owner', title: 'Owner', width: '84px', isMinor: true, cell: (job) => <Owner job={job} user={user} /> },
  ]
}

function Status({ job }: { job: JobListRow }) {
  const percent = job.status === 'running' && job.progress !== null ? Math.round(job.progress * 100) : null
  return (
    <>
      <StatusBadge status={job.status} />
      {percent !== null && <progress className="job-progress" max={100} value={percent} aria-label={`${percent} %`} />}
    </>
  )
}

export function Schedule({ job }: { job: Pick<JobListRow, 'trigger_type' | 'schedule' | 'timezone'> }) {
  return (
    <>
      <Line value={scheduleWords(job)} />
      {hasZone(job.trigger_type) && <Line value={job.timezone} className="muted" />}
    </>
  )
}

function Next({ job, as }: { job: JobListRow; as: 'both' | 'relative' }) {
  if (job.next_run_at) return <Time at={job.next_run_at} zone={job.timezone} as={as} />
  if (job.last_run_at) return <span className="muted">ran <Time at={job.last_run_at} zone={job.timezone} as="relative" /></span>
  return <span className="muted">{job.status === 'scheduled' ? 'being planned' : '–'}</span>
}

function Owner({ job, user }: { job: JobListRow; user: string }) {
  if (job.source) return <Line value={job.source} className="muted" />
  if (!job.created_by) return <span className="muted">service</span>
  return job.created_by === user ? <span>you</span> : <Line value={job.created_by.slice(0, 8)} className="mono muted" />
}

export function selectionWords(selected: number, isAll: boolean, isNarrowed: boolean): string {
  if (!isAll) return `${plural(selected, 'job')} selected`
  return isNarrowed ? 'All jobs that match are selected' : 'All jobs are selected'
}
