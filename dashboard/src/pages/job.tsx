import { lazy, Suspense, type ReactNode } from 'react'
import { useParams } from 'wouter'
import { useLiveQuery } from '../data/queries'
import { overlaid } from '../lib/pages'
import { Empty, ErrorNote, PageHead, Skeleton } from '../ui/basics'
import { Tabs } from '../ui/tabs'
import { Head } from './job/head'
import { RunsTab } from './job/runs-tab'
import { fetchJob, type JobRow } from './job-edit/row'
import '../styles/jobs.css'

const UpcomingTab = lazy(() => import('./job/upcoming-tab'))
const FiguresTab = lazy(() => import('./job/figures-tab'))
const PayloadTab = lazy(() => import('./job/payload-tab'))
const HistoryTab = lazy(() => import('./job/history-tab'))

/** The tabs of a job, in their order; what stands here is offered. */
const TABS: Record<string, { title: string; show: (job: JobRow) => ReactNode }> = {
  runs: { title: 'Runs', show: (job) => <RunsTab job={job} /> },
  next: { title: 'Next ten', show: (job) => <UpcomingTab job={job} /> },
  figures: { title: 'Figures', show: (job) => <FiguresTab job={job} /> },
  payload: { title: 'Payload', show: (job) => <PayloadTab job={job} /> },
  audit: { title: 'Audit', show: (job) => <HistoryTab job={job.id} /> },
}

export default function Job() {
  const id = Number(useParams<{ id: string }>().id)
  const isNumber = Number.isSafeInteger(id)
  const { data: job, error, refetch } = useLiveQuery<JobRow | null>({
    queryKey: ['job', id],
    queryFn: ({ signal }) => fetchJob(id, signal),
    enabled: isNumber,
    touchedBy: ({ changes }) => changes.some(({ row }) => row.id === id),
    patch: (shown, { changes }) => {
      const change = changes.find(({ row }) => row.id === id)
      return shown && change ? (change.type === 'DELETE' ? null : overlaid(shown, change.row)) : shown
    },
  })
  if (!isNumber) return <><PageHead title="Job" /><Empty icon="jobs" title="No such job" /></>
  if (error && job === undefined) return <><PageHead title="Job" /><ErrorNote error={error} retry={() => void refetch()} /></>
  if (job === undefined) return <><PageHead title="Job" /><Skeleton rows={6} height={60} /></>
  if (job === null) return <Gone id={id} />
  return (
    <>
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      <Head job={job} />
      <Tabs
        label="Job" tabs={TABS} className="job-tabs"
        show={(name) => <Suspense fallback={<Skeleton rows={4} height={44} />}>{TABS[name]?.show(job)}</Suspense>}
      />
    </>
  )
}

function Gone({ id }: { id: number }) {
  return (
    <>
      <PageHead title={`Job ${id}`} lead="There is no such job: it was deleted, cleaned away, or is not yours to see. This is what is known of it." />
      <Suspense fallback={<Skeleton rows={4} height={44} />}><HistoryTab job={id} /></Suspense>
    </>
  )
}
