import { useState } from 'react'
import { useQuery } from '@tanstack/react-query'
import { answer, supabase } from '../../data/client'
import { CONDITIONS, sentenceOf, type ChannelRow, type Condition, type RuleRow } from './data'
import { RowDialog } from './row-dialog'
import { WouldHaveFired } from './would-have-fired'

interface RuleDialogProps {
  /** That is edited; null makes one. */
  rule: RuleRow | null
  /** What a new rule begins with. */
  start?: Partial<RuleRow>
  channels: ChannelRow[]
  onClose: () => void
  onSaved?: () => void
}

/** What a rule is about: all jobs of the tenant, a handler's, or one. */
type Scope = 'all' | 'handler' | 'job'

export function RuleDialog({ rule, start, channels, onClose, onSaved }: RuleDialogProps) {
  const initial = rule ?? start
  const [name, setName] = useState(initial?.name ?? '')
  const [condition, setCondition] = useState<Condition>(initial?.condition ?? 'failed')
  const [threshold, setThreshold] = useState(initial?.threshold?.toString() ?? '')
  const [scope, setScope] = useState<Scope>(initial?.scheduled_job_id != null ? 'job' : initial?.handler ? 'handler' : 'all')
  const [handler, setHandler] = useState(initial?.handler ?? '')
  const [job, setJob] = useState(initial?.scheduled_job_id?.toString() ?? '')
  const [chosen, setChosen] = useState<string[]>(initial?.channel_ids ?? [])
  const [cooldown, setCooldown] = useState((initial?.cooldown_seconds ?? 900).toString())
  const [repeat, setRepeat] = useState(initial?.repeat_seconds?.toString() ?? '')
  const [recovery, setRecovery] = useState(initial?.notify_recovery ?? true)
  const bounds = CONDITIONS[condition].threshold
  const handlers = useQuery({
    queryKey: ['handler-names'],
    queryFn: async ({ signal }) => (await answer(supabase.from('job_handlers').select('name').order('name').limit(500).abortSignal(signal))) as { name: string }[],
  })
  const columns = {
    name: name.trim() || null, condition, threshold: bounds && threshold !== '' ? Number(threshold) : null,
    handler: scope === 'handler' ? handler : null, scheduled_job_id: scope === 'job' && job !== '' ? Number(job) : null,
    channel_ids: chosen, cooldown_seconds: Number(cooldown), repeat_seconds: repeat === '' ? null : Number(repeat), notify_recovery: recovery,
  }
  const isWhole = scope === 'all' || (scope === 'handler' ? handler !== '' : /^\d+$/.test(job))
  return (
    <RowDialog what="rule" id={rule?.id ?? null} columns={columns} onClose={onClose} onSaved={onSaved}>
      <label className="field">
        <span>When</span>
        <select className="input" value={condition} onChange={(event) => { setCondition(event.currentTarget.value as Condition); setThreshold('') }}>
          {Object.entries(CONDITIONS).map(([value, { title }]) => <option key={value} value={value}>{title}</option>)}
        </select>
      </label>
      {bounds && (
        <label className="field">
          <span>Threshold, {bounds.unit}</span>
          <input className="input" type="number" min={bounds.least} max={bounds.most} placeholder={String(bounds.usual)} value={threshold} onInput={(event) => setThreshold(event.currentTarget.value)} />
        </label>
      )}
      <label className="field">
        <span>Of</span>
        <select className="input" value={scope} onChange={(event) => setScope(event.currentTarget.value as Scope)}>
          <option value="all">all jobs here</option>
          <option value="handler">the jobs of a handler</option>
          <option value="job">one job</option>
        </select>
      </label>
      {scope === 'handler' && (
        <label className="field">
          <span>Handler</span>
          <input className="input mono" required list="alert-handlers" value={handler} onInput={(event) => setHandler(event.currentTarget.value)} />
          <datalist id="alert-handlers">{handlers.data?.map((one) => <option key={one.name} value={one.name} />)}</datalist>
        </label>
      )}
      {scope === 'job' && (
        <label className="field">
          <span>Job, by its number</span>
          <input className="input" required inputMode="numeric" pattern="\d+" value={job} onInput={(event) => setJob(event.currentTarget.value)} />
        </label>
      )}
      <p className="rule-sentence">{sentenceOf(columns)}. <WouldHaveFired rule={columns} isValid={isWhole} /></p>
      {channels.length === 0 && <p className="muted">There is no channel yet: what fires shows on the page of alerts alone.</p>}
      {channels.length > 0 && (
        <fieldset className="field">
          <legend>Channels; none: every channel</legend>
          {channels.map((channel) => (
            <label key={channel.id} className="check">
              <input type="checkbox" checked={chosen.includes(channel.id)} onChange={(event) => setChosen(event.currentTarget.checked ? [...chosen, channel.id] : chosen.filter((id) => id !== channel.id))} />
              {channel.name ?? channel.target ?? channel.kind}
            </label>
          ))}
        </fieldset>
      )}
      <details>
        <summary>Advanced: name, pauses, recovery</summary>
        <div className="fields">
          <label className="field"><span>Name</span><input className="input" maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} /></label>
          <label className="field"><span>Least seconds between two notifications</span><input className="input" type="number" min={0} max={2592000} required value={cooldown} onInput={(event) => setCooldown(event.currentTarget.value)} /></label>
          <label className="field"><span>Send a firing alert again after so many seconds; empty: never</span><input className="input" type="number" min={60} value={repeat} onInput={(event) => setRepeat(event.currentTarget.value)} /></label>
          <label className="check"><input type="checkbox" checked={recovery} onChange={(event) => setRecovery(event.currentTarget.checked)} />Say when it is over</label>
        </div>
      </details>
    </RowDialog>
  )
}
