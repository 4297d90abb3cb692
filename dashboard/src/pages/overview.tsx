import { useQueryClient } from '@tanstack/react-query'
import { answer, supabase } from '../data/client'
import { useLiveQuery } from '../data/queries'
import { useTenancy } from '../data/session'
import type { Overview } from '../data/types'
import { go } from '../lib/urls'
import { Button, ErrorNote, PageHead, Skeleton } from '../ui/basics'
import { Figures } from './overview/figures'
import { FiringAlerts } from './overview/firing-alerts'
import { FirstJob } from './overview/first-job'
import { NewestFailures } from './overview/newest-failures'
import { NextHours } from './overview/next-hours'
import { NoListener } from './overview/no-listener'
import { OutcomesOfTheDay } from './overview/outcomes'
import '../styles/overview.css'

export default function OverviewPage() {
  const { workspace, canWrite } = useTenancy()
  const { data, error, refetch } = useLiveQuery({
    queryKey: ['overview', workspace],
    queryFn: async ({ signal }) => await answer(supabase.rpc('dashboard_overview', { workspace }).abortSignal(signal)) as Overview,
  })
  const { data: hasJobs } = useLiveQuery({
    queryKey: ['has-jobs', workspace],
    queryFn: ({ signal }) => hasAnyJob(workspace, signal),
    touchedBy: useQueryClient().getQueryData(['has-jobs', workspace]) ? 'never' : 'any',
    every: false,
  })
  const isNew = data && hasJobs === false && data.outcomes.every(({ completed, failed, skipped }) => completed + failed + skipped === 0)
  return (
    <>
      <PageHead title="Overview"><Button icon="plus" kind="primary" right={canWrite} onClick={() => go('/jobs/new')}>New job</Button></PageHead>
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {!data && !error && <Skeleton rows={4} height={92} />}
      {data && data.listeners === 0 && <NoListener lastHeartbeat={data.last_heartbeat} />}
      <FiringAlerts />
      {isNew && <FirstJob />}
      {data && (
        <div className="overview">
          <Figures overview={data} />
          {!isNew && <OutcomesOfTheDay outcomes={data.outcomes} />}
          {!isNew && <NextHours counts={data.next_hours} now={Date.parse(data.now)} isPartial={data.more} />}
          {!isNew && <NewestFailures failures={data.failures} />}
        </div>
      )}
    </>
  )
}

async function hasAnyJob(workspace: string | null, signal: AbortSignal): Promise<boolean> {
  const jobs = supabase.from('scheduled_jobs').select('id')
  const rows = await answer((workspace ? jobs.eq('workspace_id', workspace) : jobs.is('workspace_id', null)).limit(1).abortSignal(signal))
  return rows.length > 0
}
