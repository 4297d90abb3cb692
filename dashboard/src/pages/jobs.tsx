import { useEffect, useState } from 'react'
import { useSession, useTenancy } from '../data/session'
import { TRIGGERS } from '../lib/schedule'
import { go, useParameters } from '../lib/urls'
import { useCronWords } from '../lib/use-cron-words'
import { Button, Empty, ErrorNote, PageHead, Skeleton } from '../ui/basics'
import { Facet, SearchField } from '../ui/facets'
import { useCommands } from '../ui/keys'
import { More, Table } from '../ui/table'
import { useJobActs } from './job/acts'
import { BULK_ACTS, type BulkAct } from './jobs/bulk'
import { BulkDialog } from './jobs/bulk-dialog'
import { jobColumns, selectionWords } from './jobs/columns'
import { bulkFilter, filterOf, isBulk, isNarrowed, type JobFilter, listed, STATUSES } from './jobs/filter'
import { FirstJob } from './overview/first-job'
import { idsOf, type JobListRow, titleOf, useHandlerNames, useJobs, useOutcomes } from './jobs/list'
import '../styles/jobs.css'

const ACTS = Object.keys(BULK_ACTS) as BulkAct[]
const MOST_IDS = 5_000

export default function Jobs() {
  const { workspace, canWrite } = useTenancy()
  const user = useSession().user?.id ?? ''
  const [parameters, setParameters] = useParameters()
  const filter = filterOf(parameters)
  const jobs = useJobs(filter, workspace, user)
  const outcomes = useOutcomes(jobs.rows.map(({ id }) => id))
  const [chosen, setChosen] = useState<JobListRow | null>(null)
  const of = JSON.stringify([workspace, filter])
  const selection = useSelection(of)
  const [act, setAct] = useState<BulkAct | null>(null)
  useEffect(() => setAct(null), [of])
  useCronWords(jobs.rows.some((job) => job.trigger_type === 'cron'))

  const narrows = isNarrowed(filter) || filter.order === 'next'
  const hasSelection = selection.isAll || selection.ids.size > 0
  useCommands([
    { title: 'Select or unselect the row', key: 'x', isListed: false, run: () => chosen && selection.select([chosen.id], !selection.ids.has(chosen.id)) },
    ...ACTS.map((each) => ({
      title: `${BULK_ACTS[each].title} the selected jobs`, run: () => setAct(each), why: hasSelection ? canWrite.why : 'no job is selected',
    })),
  ])
  const isFirst = !jobs.isLoading && jobs.rows.length === 0 && !jobs.error
  return (
    <>
      <PageHead title="Jobs">
        <Button kind="primary" icon="plus" right={canWrite} onClick={() => go('/jobs/new')}>New job</Button>
      </PageHead>
      <Narrow filter={filter} setParameters={setParameters} />
      {jobs.error && <ErrorNote error={jobs.error} retry={jobs.refetch} />}
      {jobs.isLoading && <Skeleton rows={12} height={44} />}
      {isFirst && (narrows ? <NoMatch clear={() => setParameters(NOTHING)} /> : <FirstJob />)}
      {hasSelection && (
        <div className="bulk-bar" role="region" aria-label="Selected jobs">
          <strong>{selectionWords(selection.ids.size, selection.isAll, narrows)}</strong>
          {!selection.isAll && <button type="button" className="link" onClick={selection.all}>{narrows ? 'Select all that match' : 'Select all jobs'}</button>}
          <button type="button" className="link" onClick={selection.none}>Clear</button>
          <span className="spring" />
          {ACTS.map((each) => (
            <Button key={each} size="small" kind={BULK_ACTS[each].isDestructive ? 'danger' : 'plain'} right={canWrite} onClick={() => setAct(each)}>
              {BULK_ACTS[each].title}
            </Button>
          ))}
        </div>
      )}
      {jobs.rows.length > 0 && (
        <Table
          label="Jobs" rows={jobs.rows} idOf={(job) => job.id} onOpen={(job) => go(`/jobs/${job.id}`)} onChosen={setChosen}
          columns={jobColumns({ outcomes, user, rows: jobs.rows, selected: selection.ids, isAllSelected: selection.isAll, select: selection.select })}
        />
      )}
      <More hasMore={jobs.hasMore} isLoading={jobs.isLoadingMore} load={jobs.loadMore} />
      {chosen && <ChosenKeys job={chosen} />}
      {act && (
        <BulkDialog
          act={act} what={selection.isAll ? (narrows ? 'all jobs that match' : 'all jobs') : wordsFor(selection.ids, jobs.rows)}
          filterOf={() => selectedFilter(selection, filter, workspace, user)}
          onClose={(isDone) => {
            setAct(null)
            if (isDone) selection.none()
          }}
        />
      )}
    </>
  )
}

/** Keys that act on the row that j and k chose. */
function ChosenKeys({ job }: { job: JobListRow }) {
  const acts = useJobActs(job)
  const hold = job.status === 'paused' ? 'resume' : 'pause'
  useCommands([
    { title: `Run ${titleOf(job)} now`, key: 'r', run: () => acts.do('run'), why: acts.right('run').why },
    { title: `${hold === 'resume' ? 'Resume' : 'Pause'} ${titleOf(job)}`, key: 'p', run: () => acts.do(hold), why: acts.right(hold).why },
    { title: `Edit ${titleOf(job)}`, key: 'e', run: () => go(`/jobs/${job.id}/edit`), why: acts.canEdit.why },
  ])
  return null
}

const NOTHING = { status: null, handler: null, trigger: null, name: null, mine: null, order: null }

function Narrow({ filter, setParameters }: { filter: JobFilter; setParameters: (changes: Record<string, string | null>) => void }) {
  const handlers = useHandlerNames()
  const { workspace } = useTenancy()
  return (
    <form
      className="toolbar" role="search"
      onSubmit={(event) => { // Enter leaves the field, so that keys are those of the list again
        event.preventDefault()
        if (document.activeElement instanceof HTMLElement) document.activeElement.blur()
      }}
    >
      <SearchField label="Search by name" value={filter.name} onChange={(name) => setParameters({ name })} />
      <Facet label="Status" options={STATUSES} chosen={filter.status} onChange={(chosen) => setParameters({ status: listed(chosen) })} />
      <Facet label="Handler" options={handlers} chosen={filter.handler} onChange={(chosen) => setParameters({ handler: listed(chosen) })} />
      <Facet label="Trigger" options={TRIGGERS} chosen={filter.trigger} onChange={(chosen) => setParameters({ trigger: listed(chosen) })} />
      {workspace !== null && (
        <label className="toggle">
          <input type="checkbox" checked={filter.isMine} onChange={(event) => setParameters({ mine: event.currentTarget.checked ? 'yes' : null })} />
          Mine
        </label>
      )}
      <label className="toggle">
        <span className="visually-hidden">Order</span>
        <select className="select" value={filter.order} onChange={(event) => setParameters({ order: event.currentTarget.value === 'next' ? 'next' : null })}>
          <option value="new">Newest first</option>
          <option value="next">Due next</option>
        </select>
      </label>
      {isNarrowed(filter) && <button type="button" className="link" onClick={() => setParameters(NOTHING)}>Clear filter</button>}
    </form>
  )
}

function NoMatch({ clear }: { clear: () => void }) {
  return (
    <Empty icon="filter" title="No job matches">
      <p className="muted">There may be others that the filter leaves out.</p>
      <Button onClick={clear}>Clear filter</Button>
    </Empty>
  )
}

interface Selection {
  ids: ReadonlySet<number>
  isAll: boolean
  select: (ids: number[], isOn: boolean) => void
  all: () => void
  none: () => void
}

/** Which jobs are selected: some of them, or all of the filter. Another filter begins anew. */
function useSelection(of: string): Selection {
  const [state, setState] = useState({ of, ids: new Set<number>() as ReadonlySet<number>, isAll: false })
  const { ids, isAll } = state.of === of ? state : { ids: new Set<number>(), isAll: false }
  return {
    ids,
    isAll,
    select: (changed, isOn) => {
      const next = new Set(ids)
      for (const id of changed) isOn ? next.add(id) : next.delete(id)
      setState({ of, ids: next, isAll: false })
    },
    all: () => setState({ of, ids, isAll: true }),
    none: () => setState({ of, ids: new Set(), isAll: false }),
  }
}

async function selectedFilter(selection: Selection, filter: JobFilter, workspace: string | null, user: string): Promise<Record<string, unknown>> {
  if (!selection.isAll) return { ids: [...selection.ids] }
  return isBulk(filter) ? bulkFilter(filter, workspace) : { ids: await idsOf(filter, workspace, user, MOST_IDS) }
}

function wordsFor(ids: ReadonlySet<number>, rows: JobListRow[]): string {
  const [only] = ids
  const job = ids.size === 1 && rows.find(({ id }) => id === only)
  return job ? titleOf(job) : `${ids.size} selected jobs`
}
