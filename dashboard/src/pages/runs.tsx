import { useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { Link } from 'wouter'
import { answer, supabase } from '../data/client'
import { useLivePages } from '../data/queries'
import { listRuns, type RunSummary } from '../data/runs'
import { useTenancy } from '../data/session'
import { duration, plural } from '../lib/format'
import { go, useParameters } from '../lib/urls'
import { Badge, Button, Empty, ErrorNote, Line, PageHead, Skeleton, StatusBadge } from '../ui/basics'
import { Facet } from '../ui/facets'
import { Icon } from '../ui/icon'
import { useCommands } from '../ui/keys'
import { More, Table, type Column } from '../ui/table'
import { Time } from '../ui/time'
import { EXPLANATIONS } from './run/why'
import { BulkRetry } from './runs/bulk-retry'
import { filterOf, isNarrowed, Range } from './runs/range'
import '../styles/runs.css'

const STATUSES = ['queued', 'running', 'completed', 'failed', 'cancelled', 'skipped']
const REASONS = Object.keys(EXPLANATIONS)

export default function Page() {
  const { workspace, canWrite } = useTenancy()
  const [parameters, setParameters] = useParameters()
  const text = parameters.toString()
  const chosen = (name: string) => parameters.get(name)?.split(',').filter(Boolean) ?? []
  const said = useMemo(() => filterOf(new URLSearchParams(text)), [text])
  const pages = useLivePages<RunSummary>({
    queryKey: ['runs', workspace, said],
    fetchPage: (after, signal) => listRuns(workspace, filterOf(new URLSearchParams(text)), after, signal),
    idOf: (run) => run.id,
    holds: true,
  })
  const [selected, setSelected] = useState<ReadonlyMap<string, number>>(new Map())
  const [retries, setRetries] = useState(false)

  const toggle = (run: RunSummary) => {
    const next = new Map(selected)
    if (!next.delete(run.id)) next.set(run.id, run.scheduled_job_id)
    setSelected(next)
  }
  const toggleRow = (id: string | undefined) => {
    const run = pages.rows.find((one) => one.id === id)
    if (run) toggle(run)
  }
  useCommands([
    { title: 'Select the row', key: 'x', run: () => toggleRow(chosenRow()), isListed: false },
    { title: 'Retry the jobs of the selected runs', run: () => setRetries(true), why: canWrite.why ?? (selected.size ? undefined : 'Nothing is selected.') },
  ])
  const columns = useMemo(() => columnsOf(selected, toggle), [selected])
  const ids = [...new Set(selected.values())]
  return (
    <>
      <PageHead title="Runs" lead="Every due instant ends in one row, also when nothing ran." />
      <div className="toolbar">
        <Facet label="Status" options={STATUSES} chosen={chosen('status')} onChange={(values) => setParameters({ status: values.join(',') })} />
        <Facet label="Reason" options={withChosen(REASONS, chosen('reason'))} chosen={chosen('reason')} onChange={(values) => setParameters({ reason: values.join(',') })} />
        <Handlers chosen={chosen('handler')} onChange={(values) => setParameters({ handler: values.join(',') })} />
        <Facet
          label="Cause" chosen={chosen('cause')} options={[{ value: 'schedule', label: 'by schedule' }, { value: 'manual', label: 'manual' }]}
          onChange={(values) => setParameters({ cause: values.at(-1) ?? null })}
        />
        <Range parameters={parameters} onChange={setParameters} />
        {parameters.get('error') && (
          <button type="button" className="button small" onClick={() => setParameters({ error: null })}>One kind of error <Icon name="close" size={12} /></button>
        )}
        {pages.fresh > 0 && (
          <button type="button" className="pill" onClick={pages.showFresh}>{pages.fresh >= 50 ? '50 or more' : pages.fresh} new</button>
        )}
      </div>
      {selected.size > 0 && (
        <div className="selection" role="status">
          <span>{plural(selected.size, 'run')} of {plural(ids.length, 'job')}</span>
          <Button size="small" icon="retry" right={canWrite} onClick={() => setRetries(true)}>Retry</Button>
          <button type="button" className="link" onClick={() => setSelected(new Map(pages.rows.map((run) => [run.id, run.scheduled_job_id])))}>Select all that are loaded</button>
          <button type="button" className="link" onClick={() => setSelected(new Map())}>Clear</button>
        </div>
      )}
      {pages.error && <ErrorNote error={pages.error} retry={pages.refetch} />}
      {pages.isLoading && !pages.error && <Skeleton rows={10} />}
      {!pages.isLoading && pages.rows.length === 0 && !pages.error && <None narrowed={isNarrowed(parameters)} more={pages.hasMore} onClear={() => go('/runs')} />}
      {pages.rows.length > 0 && (
        <Table label="Runs" columns={columns} rows={pages.rows} idOf={(run) => run.id} onOpen={(run) => go(`/runs/${run.id}`)} />
      )}
      <More hasMore={pages.hasMore} isLoading={pages.isLoadingMore} load={pages.loadMore} />
      {retries && ids.length > 0 && (
        <BulkRetry
          title={`Retry ${plural(ids.length, 'job')}?`} filter={{ ids, workspace_id: workspace }}
          onClose={(isDone) => { setRetries(false); if (isDone) setSelected(new Map()) }}
        />
      )}
    </>
  )
}

function chosenRow(): string | undefined {
  return document.querySelector<HTMLElement>('tr[data-chosen]')?.dataset.row
}

function None({ narrowed, more, onClear }: { narrowed: boolean; more: boolean; onClear: () => void }) {
  if (!narrowed) {
    return <Empty icon="runs" title="Nothing has run yet"><p className="muted">A job’s runs show here from the moment they are due. <Link href="/jobs/new">Create a job</Link>.</p></Empty>
  }
  return (
    <Empty icon="filter" title="No run matches">
      {more && <p className="muted">None of the newest 10,000. “More” looks further back.</p>}
      <button type="button" className="button" onClick={onClear}>Show all runs</button>
    </Empty>
  )
}

function Handlers({ chosen, onChange }: { chosen: string[]; onChange: (chosen: string[]) => void }) {
  const { data } = useQuery({
    queryKey: ['handler names'],
    queryFn: ({ signal }) => answer(supabase.from('job_handlers').select('name').order('name').limit(500).abortSignal(signal)),
    staleTime: 60_000,
  })
  const names = (data ?? []).map(({ name }: { name: string }) => name)
  return <Facet label="Handler" options={withChosen(names, chosen)} chosen={chosen} onChange={onChange} />
}

const withChosen = (known: string[], chosen: string[]) => [...known, ...chosen.filter((one) => !known.includes(one))]

function columnsOf(selected: ReadonlyMap<string, number>, toggle: (run: RunSummary) => void): Column<RunSummary>[] {
  return [
    {
      key: 'select', title: <span className="visually-hidden">Selected</span>, width: '2.6rem', isMinor: true,
      cell: (run) => <input type="checkbox" aria-label={`Select the run of ${run.name ?? run.job_id}`} checked={selected.has(run.id)} onChange={() => toggle(run)} />,
    },
    { key: 'status', title: 'Status', cell: (run) => <StatusBadge status={run.status} reason={run.reason} />, width: '11.5rem', isMinor: true },
    {
      key: 'job', title: 'Job',
      cell: (run) => (
        <div className="run-job">
          <Link href={`/runs/${run.id}`}><Line value={run.name ?? run.job_id} /></Link>
          <span className="narrow"><StatusBadge status={run.status} reason={run.reason} /></span>
          {run.error && <Line className="run-error" value={run.error} />}
        </div>
      ),
    },
    { key: 'handler', title: 'Handler', cell: (run) => <code><Line value={run.handler} /></code>, isMinor: true, width: '11rem' },
    {
      key: 'cause', title: 'Cause', isMinor: true, width: '9rem',
      cell: (run) => (
        <span className="muted">
          {run.cause === 'manual' ? 'manual' : 'schedule'}
          {run.attempt > 1 && `, attempt ${run.attempt}`}
          {run.test_mode && <> <Badge tone="warn">rehearsal</Badge></>}
        </span>
      ),
    },
    { key: 'due', title: 'Due', cell: (run) => <Time at={run.scheduled_for} />, width: '8.5rem' },
    { key: 'late', title: 'Late', align: 'end', cell: (run) => duration(run.lateness_ms), isMinor: true, width: '6rem' },
    { key: 'took', title: 'Took', align: 'end', cell: (run) => duration(run.duration_ms), isMinor: true, width: '6rem' },
  ]
}
