import { useState } from 'react'
import { answer, supabase } from '../../data/client'
import { useAct } from '../../data/queries'
import { useTenancy } from '../../data/session'
import { duration } from '../../lib/format'
import { Badge, Button, Empty, ErrorNote, Skeleton, Text } from '../../ui/basics'
import { Confirm } from '../../ui/dialog'
import { Time } from '../../ui/time'
import { sentenceOf, useTenantRows, type ChannelRow, type RuleRow } from './data'
import { NotifyOfFailures } from './notify-of-failures'
import { RuleDialog } from './rule-dialog'
import { WouldHaveFired } from './would-have-fired'

const HOUR = 3600

export function Rules() {
  const { canWrite } = useTenancy()
  const [edited, setEdited] = useState<RuleRow | 'new' | null>(null)
  const [deleted, setDeleted] = useState<RuleRow | null>(null)
  const { data, error, isPending, refetch } = useTenantRows<RuleRow>('job_alert_rules', 'created_at')
  const channels = useTenantRows<ChannelRow>('job_alert_channels', 'created_at')
  const touches = [['job_alert_rules']]
  const change = useAct({
    act: async ({ id, ...columns }: { id: string } & Partial<RuleRow>) => await answer(
      supabase.from('job_alert_rules').update(columns).eq('id', id).select('id').single(),
    ),
    touches,
  })
  const mute = useAct({ act: async ({ id, seconds }: { id: string; seconds: number }) => await answer(supabase.rpc('mute_alert_rule', { rule: id, seconds })), touches })
  const remove = useAct({
    act: async (rule: RuleRow) => await answer(supabase.from('job_alert_rules').delete().eq('id', rule.id).select('id').single()),
    touches: [...touches, ['job_alerts']],
    done: () => setDeleted(null),
  })
  return (
    <>
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {isPending && !error && <Skeleton rows={3} height={60} />}
      {data?.length === 0 && <Empty icon="alerts" title="No rules yet"><NotifyOfFailures /></Empty>}
      {data && data.length > 0 && (
        <ul className="alert-rows panel">
          {data.map((rule) => (
            <li key={rule.id}>
              <div className="rule-words spring">
                <strong><Text value={rule.name ?? sentenceOf(rule)} /></strong>
                <span className="muted">
                  {rule.name && <>{sentenceOf(rule)} · </>}
                  {channelsOf(rule, channels.data ?? [])}
                  {rule.repeat_seconds !== null && ` · again every ${duration(rule.repeat_seconds * 1000)}`}
                </span>
                <WouldHaveFired rule={rule} />
              </div>
              {!rule.enabled && <Badge>off</Badge>}
              {isMuted(rule) && <Badge tone="warn">muted until <Time at={rule.muted_until ?? ''} /></Badge>}
              <div className="row-acts">
                {isMuted(rule)
                  ? <Button size="small" right={canWrite} onClick={() => change.mutate({ id: rule.id, muted_until: null })}>Unmute</Button>
                  : <Button size="small" right={canWrite} onClick={() => mute.mutate({ id: rule.id, seconds: HOUR })}>Mute for 1 h</Button>}
                <Button size="small" right={canWrite} onClick={() => change.mutate({ id: rule.id, enabled: !rule.enabled })}>{rule.enabled ? 'Turn off' : 'Turn on'}</Button>
                <Button size="small" right={canWrite} onClick={() => setEdited(rule)}>Edit</Button>
                <Button size="small" kind="danger" right={canWrite} onClick={() => setDeleted(rule)}>Delete</Button>
              </div>
            </li>
          ))}
        </ul>
      )}
      <div className="alerts-acts"><Button icon="plus" right={canWrite} onClick={() => setEdited('new')}>New rule</Button></div>
      {edited && <RuleDialog rule={edited === 'new' ? null : edited} channels={channels.data ?? []} onClose={() => setEdited(null)} />}
      {deleted && (
        <Confirm title="Delete the rule?" confirm="Delete" isDanger isBusy={remove.isPending} onConfirm={() => remove.mutate(deleted)} onClose={() => setDeleted(null)}>
          <p>Its alerts are deleted with it. To keep them, turn it off.</p>
        </Confirm>
      )}
    </>
  )
}

function isMuted(rule: RuleRow): boolean {
  return rule.muted_until !== null && Date.parse(rule.muted_until) > Date.now()
}

function channelsOf(rule: RuleRow, channels: ChannelRow[]): string {
  if (rule.channel_ids.length === 0) return channels.length === 0 ? 'no channel yet' : 'to every channel'
  const names = rule.channel_ids.map((id) => channels.find((channel) => channel.id === id)).map((channel) => channel?.name ?? channel?.target ?? 'a deleted channel')
  return `to ${names.join(', ')}`
}
