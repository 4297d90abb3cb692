import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useMemo, useRef, useState } from 'react'
import { useLiveQuery } from '../../data/queries'
import { LINES_A_PAGE, readLog, type LogLine, type Run } from '../../data/runs'
import { parseExact, stringifyExact } from '../../lib/exact'
import { plural } from '../../lib/format'
import { exactTime, useZone } from '../../lib/time'
import { ErrorNote, Panel, Skeleton, Text } from '../../ui/basics'
import { CopyButton } from '../../ui/copy'
import { SearchField } from '../../ui/facets'

const FOLLOW_MILLISECONDS = 2_000
const LEVELS = ['info', 'warning', 'error', 'critical']

/** What the handler logged, read on from the last line while the run goes on. */
export function Log({ run }: { run: Run }) {
  const isGoing = run.completed_at === null
  const { lines, error, isLoading, refetch, more } = useLog(run.id, isGoing)
  const [least, setLeast] = useState('info')
  const [searched, setSearched] = useState('')
  const [wraps, setWraps] = useState(true)
  const [follows, setFollows] = useState(true)
  const box = useRef<HTMLDivElement>(null)
  const zone = useZone(run.job.timezone)

  const shown = useMemo(() => {
    const from = LEVELS.indexOf(least)
    const wanted = searched.toLowerCase()
    return lines.filter((line) => LEVELS.indexOf(line.level) >= from && (!wanted || `${line.message} ${line.fields}`.toLowerCase().includes(wanted)))
  }, [lines, least, searched])

  useEffect(() => {
    if (isGoing && follows && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [shown.length, isGoing, follows])

  if (error) return <Panel title="Log"><ErrorNote error={error} retry={refetch} /></Panel>
  const acts = (
    <div className="log-acts">
      <select className="select" aria-label="Least level" value={least} onChange={(event) => setLeast(event.currentTarget.value)}>
        {LEVELS.map((level) => <option key={level} value={level}>{level === 'info' ? 'all levels' : `${level} and above`}</option>)}
      </select>
      <SearchField label="Search the log" value={searched} onChange={setSearched} />
      <label className="check"><input type="checkbox" checked={wraps} onChange={(event) => setWraps(event.currentTarget.checked)} /> wrap</label>
      {isGoing && <label className="check"><input type="checkbox" checked={follows} onChange={(event) => setFollows(event.currentTarget.checked)} /> follow</label>}
      <CopyButton label="Copy the log" text={() => shown.map((line) => textOf(line)).join('\n')} />
    </div>
  )
  return (
    <Panel title={<>Log <span className="muted">{lines.length > 0 && plural(lines.length, 'line')}</span></>} acts={acts}>
      {isLoading && <Skeleton rows={3} height={20} />}
      {!isLoading && lines.length === 0 && <p className="muted panel-text">{isGoing ? 'Nothing is logged yet.' : 'The handler logged nothing.'}</p>}
      {lines.length > 0 && shown.length === 0 && <p className="muted panel-text">No line matches.</p>}
      {shown.length > 0 && (
        <div className="log" data-wraps={wraps} ref={box} tabIndex={0} role="region" aria-label="Log lines">
          {shown.map((line) => (
            <div key={line.id} className={`log-line level-${line.level}`}>
              <time dateTime={line.at} title={exactTime(Date.parse(line.at), zone)}>{clockOf(line.at, zone)}</time>
              <span className="log-level">{line.level}</span>
              <span className="log-message">
                <Text value={line.message} most={2_000} />
                {line.fields !== '{}' && <span className="log-fields">{' '}<Text value={fieldsOf(line.fields)} most={500} /></span>}
              </span>
            </div>
          ))}
        </div>
      )}
      {more && <button type="button" className="button small log-more" onClick={refetch}>More lines</button>}
    </Panel>
  )
}

function useLog(run: string, isGoing: boolean) {
  const queries = useQueryClient()
  const queryKey = ['log', run]
  const { data, error, isPending, refetch } = useLiveQuery<LogLine[]>({
    queryKey,
    queryFn: async ({ signal }) => {
      const known = queries.getQueryData<LogLine[]>(queryKey) ?? []
      const fresh = await readLog(run, known.at(-1)?.id ?? 0, signal)
      return fresh.length > 0 ? [...known, ...fresh] : known
    },
    touchedBy: 'never',
    every: isGoing ? FOLLOW_MILLISECONDS : false,
  })
  const wasGoing = useRef(isGoing)
  useEffect(() => {
    if (wasGoing.current && !isGoing) void refetch() // the last lines are written with the end
    wasGoing.current = isGoing
  }, [isGoing])
  const lines = data ?? []
  return { lines, error, isLoading: isPending, refetch: () => void refetch(), more: lines.length > 0 && lines.length % LINES_A_PAGE === 0 }
}

/** event_id=7 tags=["a"] */
function fieldsOf(fields: string): string {
  try {
    const parsed = parseExact(fields) as Record<string, unknown>
    return Object.entries(parsed).map(([name, value]) => `${name}=${typeof value === 'string' ? value : stringifyExact(value)}`).join(' ')
  } catch {
    return fields
  }
}

function textOf(line: LogLine): string {
  return `${line.at} ${line.level} ${line.message}${line.fields === '{}' ? '' : ` ${fieldsOf(line.fields)}`}`
}

const CLOCKS = new Map<string, Intl.DateTimeFormat>()

/** 14:05:09.123 */
function clockOf(at: string, zone: string): string {
  let clock = CLOCKS.get(zone)
  if (!clock) {
    clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23', timeZone: zone })
    CLOCKS.set(zone, clock)
  }
  return clock.format(Date.parse(at))
}
