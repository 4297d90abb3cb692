import type { ReactNode } from 'react'
import { useEffect, useState } from 'react'
import { Refusal } from '../data/client'
import type { Right } from '../data/session'
import { count } from '../lib/format'
import { head, visible } from '../lib/text'
import { Icon, type IconName } from './icon'
import { wordsOf } from './toast'

/** A text that somebody wrote: never markup, with what is invisible shown; long ones are cut. */
export function Text({ value, most = 300 }: { value: string; most?: number }) {
  const [isWhole, setIsWhole] = useState(false)
  const shown = isWhole ? value : head(value, most)
  return (
    <bdi className="text">
      {visible(shown)}
      {shown.length < value.length && (
        <>
          …{' '}
          <button type="button" className="link" onClick={(event) => { event.stopPropagation(); setIsWhole(true) }}>
            show all {count(value.length)} characters
          </button>
        </>
      )}
    </bdi>
  )
}

/** The same on one line, cut by the page's width. */
export function Line({ value, className = '' }: { value: string; className?: string }) {
  const shown = visible(head(value, 300)).replace(/\s+/g, ' ')
  return <bdi className={`line ${className}`} title={shown}>{shown}</bdi>
}

const TONES: Record<string, string> = {
  completed: 'good', failed: 'bad', running: 'busy', queued: 'busy', scheduled: 'plain', paused: 'warn', cancelled: 'quiet',
  skipped: 'quiet', retried: 'warn', firing: 'bad', acknowledged: 'warn', resolved: 'good', live: 'good',
}

export function Badge({ children, tone = 'plain' }: { children: ReactNode; tone?: string }) {
  return <span className={`badge tone-${tone}`}>{children}</span>
}

export function StatusBadge({ status, reason }: { status: string; reason?: string | null }) {
  return (
    <Badge tone={TONES[status] ?? 'plain'}>
      <span className="badge-dot" />
      {status}
      {reason && <span className="badge-reason" title={visible(reason)}>{visible(reason)}</span>}
    </Badge>
  )
}

export function Skeleton({ rows = 5, height = 36 }: { rows?: number; height?: number }) {
  return (
    <div className="skeletons" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, row) => <div key={row} className="skeleton" style={{ height }} />)}
    </div>
  )
}

/** Why something is not shown, word for word, with a retry. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (error instanceof Refusal && error.isSignedOut) return null // the dialog over the page says it
  const { text, hint } = wordsOf(error)
  return (
    <div className="note note-bad" role="alert">
      <Icon name="alert" />
      <div className="note-words">
        <p><Text value={text} most={1000} /></p>
        {hint && <p className="muted"><Text value={hint} most={1000} /></p>}
      </div>
      {retry && <button type="button" className="button small" onClick={retry}>Retry</button>}
    </div>
  )
}

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <Icon name={icon} size={22} />
      <h2>{title}</h2>
      {children}
    </div>
  )
}

interface ButtonProps {
  children: ReactNode
  onClick?: () => void
  icon?: IconName
  kind?: 'plain' | 'primary' | 'danger'
  size?: 'small' | 'normal'
  /** What the person may not do is disabled, and says why. */
  right?: Right
  disabled?: boolean
  isBusy?: boolean
  title?: string
  type?: 'button' | 'submit'
}

export function Button({ children, onClick, icon, kind = 'plain', size = 'normal', right, disabled, isBusy, title, type = 'button' }: ButtonProps) {
  const why = right?.why
  const isOff = Boolean(why || disabled || isBusy)
  return (
    <button
      type={type}
      className={`button ${kind} ${size}`}
      aria-disabled={isOff}
      aria-busy={isBusy}
      title={why ?? title}
      onClick={(event) => (isOff ? event.preventDefault() : onClick?.())}
    >
      {icon && <Icon name={icon} size={14} />}
      {children}
      {why && <span className="visually-hidden"> ({why})</span>}
    </button>
  )
}

export function PageHead({ title, children, lead }: { title: ReactNode; children?: ReactNode; lead?: ReactNode }) {
  useEffect(() => {
    if (typeof title === 'string') document.title = `${visible(title)} · Jobs`
  }, [title])
  return (
    <header className="page-head">
      <div>
        <h1>{title}</h1>
        {lead && <p className="muted">{lead}</p>}
      </div>
      {children && <div className="page-acts">{children}</div>}
    </header>
  )
}

export function Panel({ title, children, acts, className = '' }: { title?: ReactNode; children: ReactNode; acts?: ReactNode; className?: string }) {
  return (
    <section className={`panel ${className}`}>
      {(title || acts) && <div className="panel-head"><h2>{title}</h2>{acts}</div>}
      {children}
    </section>
  )
}
