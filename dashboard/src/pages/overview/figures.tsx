import type { ReactNode } from 'react'
import { Link } from 'wouter'
import type { Overview } from '../../data/types'
import { compact, count, plural } from '../../lib/format'
import { Time } from '../../ui/time'

export function Figures({ overview }: { overview: Overview }) {
  const { failures, late, more } = overview
  return (
    <ul className="figures">
      <Figure title="Due in the next hour" href="/jobs?status=scheduled" value={overview.due_next_hour} isPartial={more}>
        {overview.due_next_hour === 0 ? 'nothing is due' : 'jobs that will start'}
      </Figure>
      <Figure title="Running" href="/runs?status=running" value={overview.running} tone={overview.running > 0 ? 'busy' : ''}>
        {overview.running === 0 ? 'no run goes on' : plural(overview.running, 'run')}
      </Figure>
      <Figure title="Late" href="/jobs?status=scheduled" value={late} tone={late > 0 ? 'warn' : ''} isPartial={more}>
        {late === 0 ? 'all on time' : <>oldest due <Time at={overview.oldest_due} as="relative" /></>}
      </Figure>
      <Figure title="Failed in 24 h" href="/failures" value={failures.failed} tone={failures.failed > 0 ? 'bad' : ''} isPartial={failures.more}>
        {failures.retried > 0 ? `and ${count(failures.retried)} retried` : 'none retried'}
      </Figure>
      <Figure title="Listeners" href="/listeners" value={overview.listeners} tone={overview.listeners === 0 ? 'bad' : ''}>
        {overview.last_heartbeat ? <>heartbeat <Time at={overview.last_heartbeat} as="relative" /></> : 'never seen'}
      </Figure>
    </ul>
  )
}

interface FigureProps {
  title: string
  href: string
  value: number
  tone?: string
  /** More than were counted. */
  isPartial?: boolean
  children: ReactNode
}

function Figure({ title, href, value, tone = '', isPartial = false, children }: FigureProps) {
  return (
    <li>
      <Link href={href} className="panel figure">
        <span className="figure-title">{title}</span>
        <strong className={`figure-value ${tone}`}>{compact(value)}{isPartial && '+'}</strong>
        <span className="muted">{children}</span>
      </Link>
    </li>
  )
}
