import { answer, supabase } from '../data/client'
import { namesOf } from '../data/job-names'
import { useLivePages } from '../data/queries'
import { useTenancy } from '../data/session'
import type { AuditRow } from '../data/types'
import type { Page } from '../lib/pages'
import { useParameters } from '../lib/urls'
import { AuditEntries } from '../ui/audit-entries'
import { Button, Empty, ErrorNote, PageHead, Skeleton } from '../ui/basics'
import { Facet } from '../ui/facets'
import { More } from '../ui/table'
import '../styles/catalogue.css'

const ACTIONS = ['insert', 'update', 'pause', 'resume', 'cancel', 'retry', 'run_now', 'delete']
const PAGE_ROWS = 50

type NamedRow = AuditRow & { name: string | null }

export default function Audit() {
  const { workspace } = useTenancy()
  const [parameters, setParameters] = useParameters()
  const actions = parameters.getAll('action').flatMap((text) => text.split(',')).filter(Boolean)
  const list = useLivePages<NamedRow>({
    queryKey: ['audit', workspace, actions],
    idOf: (row) => row.id,
    fetchPage: (after, signal) => page(workspace, actions, after as number | null, signal),
  })
  return (
    <>
      <PageHead title="Audit" lead="Who changed which job, and how. What the service itself did is among the runs." />
      <div className="toolbar">
        <Facet label="Action" options={ACTIONS} chosen={actions} onChange={(chosen) => setParameters({ action: chosen.join(',') })} />
        {actions.length > 0 && <Button size="small" onClick={() => setParameters({ action: null })}>Clear</Button>}
      </div>
      {list.error && <ErrorNote error={list.error} retry={list.refetch} />}
      {list.isLoading && !list.error && <Skeleton rows={8} height={44} />}
      {!list.isLoading && list.rows.length === 0 && (actions.length > 0
        ? <Empty icon="filter" title="No entry matches"><Button onClick={() => setParameters({ action: null })}>Clear the filter</Button></Empty>
        : <Empty icon="audit" title="Nothing was changed yet"><p className="muted">What signed-in users create, edit, pause, run or delete is named here; what the service key does is not.</p></Empty>)}
      {list.rows.length > 0 && <AuditEntries label="Audit" rows={list.rows} nameOf={(row) => (row as NamedRow).name ?? row.job_id ?? String(row.scheduled_job_id)} />}
      <More hasMore={list.hasMore} isLoading={list.isLoadingMore} load={list.loadMore} />
    </>
  )
}

async function page(workspace: string | null, actions: string[], after: number | null, signal: AbortSignal): Promise<Page<NamedRow>> {
  let query = supabase.from('job_audit').select('id,at,scheduled_job_id,job_id,actor,role,action,changes::text')
  query = workspace ? query.eq('workspace_id', workspace) : query.is('workspace_id', null)
  if (actions.length > 0) query = query.in('action', actions)
  if (after !== null) query = query.lt('id', after)
  const rows = await answer(query.order('id', { ascending: false }).limit(PAGE_ROWS).abortSignal(signal)) as unknown as AuditRow[]
  const names = await namesOf([...new Set(rows.map((row) => row.scheduled_job_id))], signal)
  return {
    rows: rows.map((row) => ({ ...row, name: names.get(row.scheduled_job_id) ?? null })),
    next: rows.length === PAGE_ROWS ? rows.at(-1)?.id : null,
  }
}
