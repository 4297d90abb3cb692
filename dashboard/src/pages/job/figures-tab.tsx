import type { ReactNode } from 'react'
import { answer, supabase } from '../../data/client'
import { useLiveQuery } from '../../data/queries'
import type { Instant, RunStatus } from '../../data/types'
import { count, duration, percent } from '../../lib/format'
import { dateTime, useZone } from '../../lib/time'
import { type Bar, Bars } from '../../ui/bars'
import { ErrorNote, Panel, Skeleton } from '../../ui/basics'
import { Time } from '../../ui/time'
import type { JobRow } from '../job-edit/row'

/** What `job_stats` returns. */
interface Stats {
  total_runs: number
  successful_runs: number
  failed_runs: number
  success_rate: number | null
  avg_duration_ms: number | null
  p95_duration_ms: number | null
  last_run_at: Instant | null
  next_run_at: Instant | null
}

interface Sample {
  scheduled_for: Instant
  status: RunStatus
  duration_ms: number | null
  lateness_ms: number | null
}

const SAMPLES = 200
const BARS = 60

/** The value below which so much of the values lies, as PostgreSQL's percentile_cont computes it. */
export function percentile(values: number[], part: number): number | null {
  const sorted = [...values].sort((a, b) => a - b)
  if (sorted.length === 0) return null
  const place = part * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(place)] ?? 0, sorted[Math.ceil(place)] ?? 0]
  return low + (high - low) * (place - Math.floor(place))
}

export default function FiguresTab({ job }: { job: JobRow }) {
  const zone = useZone(job.timezone)
  const { data, error, refetch } = useLiveQuery({
    queryKey: ['job figures', job.id],
    touchedBy: ({ changes }) => changes.some(({ row }) => row.id === job.id && row.status !== 'running'),
    queryFn: async ({ signal }) => {
      const [stats, samples] = await Promise.all([
        answer<Stats | null>(supabase.rpc('job_stats', { job: job.id }).abortSignal(signal)),
        answer<Sample[] | null>(supabase.from('job_executions').select('scheduled_for,status,duration_ms,lateness_ms').eq('scheduled_job_id', job.id)
          .in('status', ['completed', 'failed']).order('scheduled_for', { ascending: false }).limit(SAMPLES).abortSignal(signal)),
      ])
      return { stats, samples }
    },
  })
  if (error) return <ErrorNote error={error} retry={() => void refetch()} />
  if (!data) return <Skeleton rows={4} height={60} />
  const { stats, samples } = data
  const took = samples.flatMap(({ duration_ms }) => (duration_ms === null ? [] : [duration_ms]))
  const late = samples.flatMap(({ lateness_ms }) => (lateness_ms === null ? [] : [lateness_ms]))
  return (
    <div className="job-figures">
      <Panel title="All its runs">
        <dl className="facts">
          <Fact term="Runs">{count(stats.total_runs)}</Fact>
          <Fact term="Completed">{count(stats.successful_runs)}</Fact>
          <Fact term="Failed">{count(stats.failed_runs)}</Fact>
          <Fact term="Success">{stats.success_rate === null ? '–' : percent(stats.successful_runs, stats.successful_runs + stats.failed_runs)}</Fact>
          <Fact term="Last run"><Time at={stats.last_run_at} zone={job.timezone} as="both" /></Fact>
        </dl>
      </Panel>
      <Panel title="Duration">
        <dl className="facts">
          <Fact term="p50">{duration(percentile(took, 0.5))}</Fact>
          <Fact term="p95, all that is kept">{duration(stats.p95_duration_ms)}</Fact>
          <Fact term="Average, all that is kept">{duration(stats.avg_duration_ms)}</Fact>
        </dl>
      </Panel>
      <Panel title="Lateness">
        <dl className="facts">
          <Fact term="p50">{duration(percentile(late, 0.5))}</Fact>
          <Fact term="p95">{duration(percentile(late, 0.95))}</Fact>
          <Fact term="Most">{duration(late.length > 0 ? Math.max(...late) : null)}</Fact>
        </dl>
        <p className="panel-body muted">Of the last {count(samples.length)} runs that ended.</p>
      </Panel>
      {samples.length > 1 && (
        <Panel title="How long the last runs took" className="whole">
          <div className="panel-body"><Bars label="Durations" bars={barsOf(samples, zone)} height={110} /></div>
        </Panel>
      )}
    </div>
  )
}

/** At least so many places, so that a few runs are no posters. */
function barsOf(samples: Sample[], zone: string): Bar[] {
  const shown = samples.slice(0, BARS).reverse()
  const isShort = shown.every(({ duration_ms }) => (duration_ms ?? 0) < 20)
  const bars = shown.map(({ scheduled_for, status, duration_ms }) => {
    const value = Math.round((duration_ms ?? 0) * (isShort ? 1000 : 1))
    return {
      label: dateTime(Date.parse(scheduled_for), zone),
      parts: [{ tone: status === 'failed' ? 'bad' : 'good', value, name: `${isShort ? 'µs' : 'ms'}, ${status}` }],
    }
  })
  return [...Array.from({ length: Math.max(0, BARS - bars.length) }, () => ({ label: 'no run', parts: [] })), ...bars]
}

function Fact({ term, children }: { term: string; children: ReactNode }) {
  return <div className="fact"><dt>{term}</dt><dd>{children}</dd></div>
}
