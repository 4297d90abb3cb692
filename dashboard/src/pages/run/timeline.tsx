import type { ReactNode } from 'react'
import type { Run } from '../../data/runs'
import { duration } from '../../lib/format'
import { useNow } from '../../lib/time'
import { Time } from '../../ui/time'

interface Step {
  name: string
  at: string | null
  note: ReactNode
  state: 'done' | 'now' | 'open' | 'bad'
}

const ENDS: Record<string, string> = { completed: 'Completed', failed: 'Failed', cancelled: 'Cancelled', skipped: 'Skipped' }

/** From the due instant to the end, with what passed between. */
export function Timeline({ run }: { run: Run }) {
  const now = useNow()
  return (
    <ol className="timeline" aria-label="What happened">
      {stepsOf(run, now).map((step) => (
        <li key={step.name} data-state={step.state}>
          <span className="timeline-name">{step.name}</span>
          <Time at={step.at} zone={run.job.timezone} as="exact" none="not yet" />
          <span className="timeline-note">{step.note}</span>
        </li>
      ))}
    </ol>
  )
}

function stepsOf(run: Run, now: number): Step[] {
  const isOver = run.completed_at !== null
  const steps: Step[] = [{ name: run.cause === 'manual' ? 'Asked for' : 'Due', at: run.scheduled_for, note: run.cause === 'manual' ? 'a manual run' : 'by its schedule', state: 'done' }]
  const isPutOff = run.run_at !== null && run.attempt > 1 && run.run_at !== run.scheduled_for
  if (isPutOff) {
    steps.push({ name: 'Next attempt', at: run.run_at, note: `attempt ${run.attempt}`, state: run.started_at || isOver ? 'done' : 'now' })
  }
  if (run.blocked_since !== null && run.started_at === null && !isOver) {
    steps.push({ name: 'Blocked', at: run.blocked_since, note: `for ${duration(now - Date.parse(run.blocked_since))}`, state: 'now' })
  }
  if (!run.started_at && isOver) return [...steps, endOf(run, 'nothing ran')]
  steps.push({
    name: 'Claimed', at: run.started_at, state: run.started_at ? 'done' : steps.some((step) => step.state === 'now') ? 'open' : 'now',
    note: run.listener_id ? <>by listener <code title={run.listener_id}>{run.listener_id.slice(0, 8)}</code></> : 'by a listener',
  })
  steps.push({
    name: 'Started', at: run.started_at, state: run.started_at ? 'done' : 'open',
    note: run.lateness_ms !== null ? `${duration(run.lateness_ms)} late` : run.started_at ? lateness(run) : '',
  })
  if (isOver) return [...steps, endOf(run, `after ${duration(run.duration_ms)}`)]
  const note = run.started_at ? `running for ${duration(Math.max(0, now - Date.parse(run.started_at)))}` : ''
  return [...steps, { name: 'Ends', at: null, note, state: run.started_at ? 'now' : 'open' }]
}

function endOf(run: Run, note: string): Step {
  return { name: ENDS[run.status] ?? 'Ended', at: run.completed_at, note, state: run.status === 'failed' ? 'bad' : 'done' }
}

function lateness(run: Run): string {
  const due = Date.parse(run.run_at ?? run.scheduled_for)
  return `${duration(Math.max(0, Date.parse(run.started_at ?? run.scheduled_for) - due))} late`
}
