import { useQuery } from '@tanstack/react-query'
import { answer, supabase } from '../../data/client'
import { writeJson } from '../../form/json'
import { bytes, count, duration } from '../../lib/format'
import { Meter } from '../../ui/meter'
import { useEditing } from './context'
import { scheduleOf } from './draft'

type Quotas = Record<string, { limit: number | null; used: number | null }>

/** What the quotas leave for this job. */
export function QuotaLeft({ workspace }: { workspace: string | null }) {
  const { draft, isNew } = useEditing()
  const { data } = useQuery({
    queryKey: ['quotas', workspace],
    queryFn: async ({ signal }) => (await answer(supabase.rpc('list_quotas', { workspace }).abortSignal(signal))) as Quotas,
    staleTime: 15_000,
  })
  if (!data) return null
  const active = data.max_active_jobs
  const size = new TextEncoder().encode(writeJson(draft.payload, 0)).length
  const seconds = draft.trigger === 'interval' ? Number(scheduleOf(draft).seconds) : null
  const timeout = draft.texts.timeout_seconds === '' ? null : Number(draft.texts.timeout_seconds)
  const bounds = [
    bound('Payload', size, data.max_payload_bytes?.limit, bytes),
    bound('Timeout', timeout, data.max_timeout_seconds?.limit, (s) => duration(s * 1000)),
    seconds === null ? null : bound('Interval', seconds, data.min_interval_seconds?.limit, (s) => duration(s * 1000), true),
  ].filter((each) => each !== null)
  return (
    <ul className="quota-left">
      {active?.limit != null && active.used !== null && (
        <li>
          <span>Jobs</span>
          <Meter value={active.used} most={active.limit} label="Jobs that have not ended" />
          <span className={isNew && active.used >= active.limit ? 'bad' : 'muted'}>{count(Math.max(0, active.limit - active.used))} of {count(active.limit)} left</span>
        </li>
      )}
      {bounds.map(({ title, text, isBroken }) => <li key={title}><span>{title}</span><span className={isBroken ? 'bad' : 'muted'}>{text}</span></li>)}
    </ul>
  )
}

function bound(title: string, value: number | null, limit: number | null | undefined, show: (value: number) => string, isLeast = false) {
  if (limit === null || limit === undefined) return null
  const isBroken = value !== null && (isLeast ? value < limit : value > limit)
  const most = `${isLeast ? 'at least' : 'at most'} ${show(limit)}`
  return { title, isBroken, text: value === null || Number.isNaN(value) ? most : `${show(value)}, ${most}` }
}
