import { Link } from 'wouter'
import type { Attempt, Run } from '../../data/runs'
import { useNow } from '../../lib/time'
import { Text } from '../../ui/basics'
import { Icon } from '../../ui/icon'
import { why, type Setting } from './why'

/** The sentence that says why a run did not run, waits, or ended as it did; null where there is nothing to say. */
export function WhyNote({ run, attempts }: { run: Run; attempts: Attempt[] }) {
  const follower = attempts.find((one) => one.attempt === run.attempt + 1)?.attempt ?? null
  const reason = why({ ...run, follower }, useNow())
  if (!reason) return null
  const isBad = run.status === 'failed'
  return (
    <div className={`note ${isBad ? 'note-bad' : ''} why`} role="note">
      <Icon name={isBad ? 'alert' : 'help'} />
      <div className="note-words">
        <p>{reason.says.map((part, place) => (typeof part === 'string' ? part : <Said key={place} setting={part} job={run.scheduled_job_id} />))}</p>
        {reason.helps && <p className="muted"><Text value={reason.helps} /></p>}
      </div>
    </div>
  )
}

function Said({ setting: { setting, value }, job }: { setting: Setting; job: number }) {
  const shown = value === undefined ? setting : `${setting} = ${value}`
  if (setting.startsWith('LISTENER_') || setting === 'reason') return <code className="setting"><Text value={shown} most={200} /></code>
  return <Link className="setting" href={`/jobs/${job}`}><code><Text value={shown} most={200} /></code></Link>
}
