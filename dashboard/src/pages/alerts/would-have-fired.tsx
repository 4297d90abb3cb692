import { useQuery } from '@tanstack/react-query'
import { answer, supabase } from '../../data/client'
import { useSession, useTenancy } from '../../data/session'
import { plural } from '../../lib/format'
import type { Preview, RuleRow } from './data'

const DAYS = 7

type Looked = Pick<RuleRow, 'condition' | 'threshold' | 'handler' | 'scheduled_job_id'>

/** How often a rule, saved or not, would have fired in the last week, by the ledger. */
export function WouldHaveFired({ rule, isValid = true }: { rule: Looked; isValid?: boolean }) {
  const { workspace } = useTenancy()
  const { state } = useSession()
  const looked = { workspace_id: workspace, condition: rule.condition, threshold: rule.threshold, handler: rule.handler, scheduled_job_id: rule.scheduled_job_id }
  const { data, error } = useQuery({
    queryKey: ['preview_alert_rule', looked],
    queryFn: async ({ signal }) => await answer(supabase.rpc('preview_alert_rule', { rule: looked, days: DAYS }).abortSignal(signal)) as Preview,
    enabled: state === 'in' && isValid,
    staleTime: 300_000,
    retry: false,
  })
  return <span className="muted would-have-fired" aria-live="polite">{isValid && !error ? wordsOf(data) : ''}</span>
}

export function wordsOf(preview: Preview | undefined): string {
  if (!preview) return 'Looking at last week…'
  if (!preview.replayable) return 'What waited last week is in no ledger, so nobody can say how often it would have fired.'
  if (preview.alerts === 0) return 'Would not have fired last week.'
  const more = preview.more ? 'at least ' : ''
  return `Would have fired ${more}${plural(preview.alerts, 'time')} last week, for ${more}${plural(preview.occurrences, 'run')}.`
}
