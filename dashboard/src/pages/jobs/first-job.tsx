import { config } from '../../data/client'
import { useTenancy } from '../../data/session'
import { go } from '../../lib/urls'
import { Button, Empty } from '../../ui/basics'
import { Code } from '../../ui/copy'

/** No job yet: how to insert the first. */
export function FirstJob({ workspace }: { workspace: string | null }) {
  const { canWrite } = useTenancy()
  const row = { name: 'My first job', handler: 'noop', ...(workspace && { workspace_id: workspace }) }
  const lines = Object.entries(row).map(([key, value]) => `  ${key}: '${value}',`)
  return (
    <Empty icon="jobs" title="No jobs yet">
      <p className="muted">A job is a row of <code>scheduled_jobs</code>: insert it, and it runs on time.</p>
      <Button kind="primary" icon="plus" right={canWrite} onClick={() => go('/jobs/new')}>New job</Button>
      <div className="first-job">
        <Code label="supabase-js" text={`await supabase.from('scheduled_jobs').insert({\n${lines.join('\n')}\n})`} />
        <Code
          label="curl"
          text={`curl '${config.supabaseUrl}/rest/v1/scheduled_jobs' \\\n  -H 'apikey: ${config.publishableKey}' \\\n  -H "Authorization: Bearer $ACCESS_TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(row)}'`}
        />
      </div>
    </Empty>
  )
}
