import type { RunFilter } from '../../data/runs'
import { useStore } from '../../lib/store'
import { zoneChoice } from '../../lib/time'

const RANGES = { '1h': 'Last hour', '24h': 'Last 24 hours', '7d': 'Last 7 days' } as const
const HOURS: Record<string, number> = { '1h': 1, '24h': 24, '7d': 168 }
const LISTS = ['status', 'reason', 'handler'] as const
const MINUTE = 60_000

/** What the URL asks `list_runs` for. A range that moves with time does so by minutes. */
export function filterOf(parameters: URLSearchParams): RunFilter {
  const filter: RunFilter = {}
  for (const name of LISTS) {
    const values = parameters.get(name)?.split(',').filter(Boolean) ?? []
    if (values.length > 0) filter[name] = values
  }
  const cause = parameters.get('cause')
  const error = parameters.get('error')
  if (cause) filter.cause = cause
  if (error) filter.error_fingerprint = error
  const hours = HOURS[parameters.get('range') ?? '']
  if (hours) filter.since = new Date(Math.floor(Date.now() / MINUTE) * MINUTE - hours * 60 * MINUTE).toISOString()
  for (const name of ['since', 'until'] as const) {
    const at = Date.parse(parameters.get(name) ?? '')
    if (!Number.isNaN(at)) filter[name] = new Date(at).toISOString()
  }
  return filter
}

export function isNarrowed(parameters: URLSearchParams): boolean {
  return Object.keys(filterOf(parameters)).length > 0
}

interface RangeProps {
  parameters: URLSearchParams
  onChange: (changes: Record<string, string | null>) => void
}

/** The last so many hours, or from one instant to another, in the zone in which instants are shown. */
export function Range({ parameters, onChange }: RangeProps) {
  const isUtc = useStore(zoneChoice) === 'utc'
  const isOwn = parameters.has('since') || parameters.has('until')
  const choose = (value: string) => {
    if (value === 'own') onChange({ range: null, since: new Date(Date.now() - 86_400_000).toISOString(), until: null })
    else onChange({ range: value || null, since: null, until: null })
  }
  const field = (name: 'since' | 'until', label: string) => (
    <input
      type="datetime-local" className="input small" aria-label={`${label} (${isUtc ? 'UTC' : 'local time'})`} value={written(parameters.get(name), isUtc)}
      onChange={(event) => onChange({ [name]: readInstant(event.currentTarget.value, isUtc) })}
    />
  )
  return (
    <>
      <select className="select" aria-label="Range" value={isOwn ? 'own' : (parameters.get('range') ?? '')} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">Any time</option>
        {Object.entries(RANGES).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
        <option value="own">From … to …</option>
      </select>
      {isOwn && <>{field('since', 'From')}{field('until', 'To')}</>}
    </>
  )
}

/** As a field of kind datetime-local writes it. */
export function written(instant: string | null, isUtc: boolean): string {
  const at = Date.parse(instant ?? '')
  if (Number.isNaN(at)) return ''
  const shift = isUtc ? 0 : new Date(at).getTimezoneOffset() * MINUTE
  return new Date(at - shift).toISOString().slice(0, 16)
}

export function readInstant(text: string, isUtc: boolean): string | null {
  const at = Date.parse(isUtc ? `${text}Z` : text)
  return Number.isNaN(at) ? null : new Date(at).toISOString()
}
