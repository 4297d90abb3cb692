import { Link } from 'wouter'
import { useEmails } from '../data/emails'
import { useSession } from '../data/session'
import type { AuditRow } from '../data/types'
import { parseExact, stringifyExact } from '../lib/exact'
import { Badge, Text } from './basics'
import { Time } from './time'

const TONES: Record<string, string> = { insert: 'good', delete: 'bad', cancel: 'warn', pause: 'warn' }
const VERBS: Record<string, string> = {
  insert: 'created', update: 'changed', cancel: 'cancelled', pause: 'paused', resume: 'resumed', retry: 'ran again', run_now: 'ran at once', delete: 'deleted',
}

/** Who did what to jobs, with what changed. `nameOf` gives a job's name; without it the entries are of one job. */
export function AuditEntries({ rows, nameOf, label }: { rows: AuditRow[]; nameOf?: (row: AuditRow) => string; label: string }) {
  return (
    <ol className="panel audit" aria-label={label}>
      {rows.map((row) => (
        <li key={row.id} className="audit-entry">
          <span className="muted"><Time at={row.at} /></span>
          <div>
            <p className="audit-what">
              <Actor row={row} />
              <Badge tone={TONES[row.action] ?? 'plain'}>{VERBS[row.action] ?? row.action}</Badge>
              {nameOf && <Link href={`/jobs/${row.scheduled_job_id}`}><Text value={nameOf(row)} most={120} /></Link>}
            </p>
            <Differences changes={row.changes} />
          </div>
        </li>
      ))}
    </ol>
  )
}

function Actor({ row }: { row: AuditRow }) {
  const { user } = useSession()
  const emails = useEmails()
  if (row.actor === null) return <strong title="The service key, or SQL">{row.role}</strong>
  if (row.actor === user?.id) return <strong>You</strong>
  const email = emails.get(row.actor)
  if (email) return <strong title={`The user ${row.actor}`}><Text value={email} /></strong>
  return <strong className="mono" title={`The user ${row.actor}`}>{row.actor.slice(0, 8)}</strong>
}

/** The changed columns of the text of {column: [old, new]}, with numbers as they are. */
export function differences(changes: string): { column: string; before: string | null; after: string | null }[] {
  const parsed = parseExact(changes) as Record<string, unknown>
  return Object.entries(parsed).map(([column, value]) => {
    const [before, after] = Array.isArray(value) ? value : [null, value]
    return { column, before: shown(before), after: shown(after) }
  })
}

function shown(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return typeof value === 'string' ? value : stringifyExact(value)
}

export function Differences({ changes }: { changes: string }) {
  const changed = differences(changes)
  if (changed.length === 0) return null
  return (
    <dl className="diff">
      {changed.map(({ column, before, after }) => (
        <div key={column} className="diff-row">
          <dt>{column}</dt>
          <dd>
            {before !== null && <del><Text value={before} /></del>}
            {before !== null && after !== null && <span aria-hidden="true">→</span>}
            {after !== null && <ins><Text value={after} /></ins>}
            {before === null && after === null && <span className="muted">nothing</span>}
          </dd>
        </div>
      ))}
    </dl>
  )
}
