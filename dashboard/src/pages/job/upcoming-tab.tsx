import { Panel } from '../../ui/basics'
import type { JobRow } from '../job-edit/row'
import { Upcoming } from '../job-edit/upcoming'
import '../../styles/form.css'

const ENDED = ['completed', 'failed', 'cancelled']

/** The next ten due instants, with what clock changes do to them. */
export default function UpcomingTab({ job }: { job: JobRow }) {
  const left = job.max_runs === null ? null : Math.max(0, job.max_runs - job.scheduled_runs)
  const request = {
    trigger_type: job.trigger_type, schedule: job.schedule, timezone: job.timezone, run_date: job.run_date, ends_at: job.ends_at,
    dst_gap: job.dst_gap, dst_fold: job.dst_fold,
  }
  return (
    <Panel title="Next ten">
      <div className="panel-body upcoming-ten">
        {job.status === 'paused' && <p className="warn">The job is paused: none of these runs until it is resumed.</p>}
        {ENDED.includes(job.status) && <p className="muted">The job is {job.status}: nothing more is due, unless it is scheduled again.</p>}
        <Upcoming request={request} n={10} left={left} />
        {left !== null && left < 10 && <p className="muted">It runs {left} more {left === 1 ? 'time' : 'times'} at most.</p>}
      </div>
    </Panel>
  )
}
