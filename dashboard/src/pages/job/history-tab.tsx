import { answer, supabase } from '../../data/client'
import { useLivePages } from '../../data/queries'
import type { AuditRow } from '../../data/types'
import { AuditEntries } from '../../ui/audit-entries'
import { Empty, ErrorNote, Skeleton } from '../../ui/basics'
import { More } from '../../ui/table'
import '../../styles/catalogue.css'

const PAGE = 50

/** Who changed the job, and how; also of a job that was deleted. */
export default function HistoryTab({ job }: { job: number }) {
  const entries = useLivePages<AuditRow>({
    queryKey: ['job audit', job],
    idOf: (entry) => entry.id,
    touchedBy: ({ changes }) => changes.some(({ row, type }) => row.id === job && (type === 'DELETE' || row.status !== 'running')),
    fetchPage: async (after, signal) => {
      let request = supabase.from('job_audit').select('id,at,scheduled_job_id,job_id,actor,role,action,changes::text').eq('scheduled_job_id', job)
      if (after !== null) request = request.lt('id', after)
      const rows = (await answer(request.order('id', { ascending: false }).limit(PAGE).abortSignal(signal))) as unknown as AuditRow[]
      return { rows, next: rows.length === PAGE ? rows.at(-1)?.id : null }
    },
  })
  if (entries.error) return <ErrorNote error={entries.error} retry={entries.refetch} />
  if (entries.isLoading) return <Skeleton rows={4} height={44} />
  if (entries.rows.length === 0) {
    return <Empty icon="audit" title="Nobody changed it"><p className="muted">What people change is written down here; what the service does is among the runs.</p></Empty>
  }
  return (
    <>
      <AuditEntries label="Changes of this job" rows={entries.rows} />
      <More hasMore={entries.hasMore} isLoading={entries.isLoadingMore} load={entries.loadMore} />
    </>
  )
}
