import { useState, type FormEvent } from 'react'
import { answer, supabase } from '../../data/client'
import { useAct } from '../../data/queries'
import { useTenancy } from '../../data/session'
import { Badge, Button, Empty, ErrorNote, Skeleton, Text } from '../../ui/basics'
import { Confirm } from '../../ui/dialog'
import { showDone, showRefusal } from '../../ui/toast'
import { useTenantRows, type ChannelRow, type DeliveryRow } from './data'
import { ChannelDialog } from './channel-dialog'

const TOUCHES = [['job_alert_channels'], ['job_alert_deliveries']]

export function Channels() {
  const { canAdminister } = useTenancy()
  const [edited, setEdited] = useState<ChannelRow | 'new' | null>(null)
  const [deleted, setDeleted] = useState<ChannelRow | null>(null)
  const { data, error, isPending, refetch } = useTenantRows<ChannelRow>('job_alert_channels', 'created_at')
  const test = useAct({
    act: async (channel: ChannelRow) => await answer(supabase.rpc('test_alert_channel', { channel: channel.id })),
    touches: TOUCHES,
    done: () => showDone('A test is on its way; “Deliveries” says what became of it.'),
  })
  const change = useAct({
    act: async (channel: ChannelRow) => await answer(
      supabase.from('job_alert_channels').update({ enabled: !channel.enabled }).eq('id', channel.id).select('id').single(),
    ),
    touches: TOUCHES,
  })
  const remove = useAct({
    act: async (channel: ChannelRow) => await answer(supabase.from('job_alert_channels').delete().eq('id', channel.id).select('id').single()),
    touches: TOUCHES,
    done: () => setDeleted(null),
  })
  return (
    <>
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {isPending && !error && <Skeleton rows={3} height={52} />}
      {data?.length === 0 && <Empty icon="alerts" title="No channels yet"><p className="muted">Mail, a webhook, Slack or Discord: where alerts are to be read.</p></Empty>}
      {data && data.length > 0 && (
        <ul className="alert-rows panel">
          {data.map((channel) => (
            <li key={channel.id}>
              <Badge>{channel.kind}</Badge>
              <div className="rule-words spring">
                <strong><Text value={channel.name ?? channel.target ?? channel.kind} /></strong>
                {channel.name && channel.target && <span className="muted"><Text value={channel.target} /></span>}
              </div>
              {!channel.enabled && <Badge>off</Badge>}
              {channel.confirmed_at === null && <Confirmation channel={channel} />}
              <div className="row-acts">
                <Button size="small" right={canAdminister} disabled={channel.confirmed_at === null} isBusy={test.isPending && test.variables.id === channel.id} onClick={() => test.mutate(channel)}>Test</Button>
                <Button size="small" right={canAdminister} onClick={() => change.mutate(channel)}>{channel.enabled ? 'Turn off' : 'Turn on'}</Button>
                <Button size="small" right={canAdminister} onClick={() => setEdited(channel)}>Edit</Button>
                <Button size="small" kind="danger" right={canAdminister} onClick={() => setDeleted(channel)}>Delete</Button>
              </div>
            </li>
          ))}
        </ul>
      )}
      <div className="alerts-acts"><Button icon="plus" right={canAdminister} onClick={() => setEdited('new')}>New channel</Button></div>
      {edited && <ChannelDialog channel={edited === 'new' ? null : edited} onClose={() => setEdited(null)} />}
      {deleted && (
        <Confirm title="Delete the channel?" confirm="Delete" isDanger isBusy={remove.isPending} onConfirm={() => remove.mutate(deleted)} onClose={() => setDeleted(null)}>
          <p>Rules that name it alone reach nobody any more.</p>
        </Confirm>
      )}
    </>
  )
}

/** An address counts once its owner has entered the code that was sent there. */
function Confirmation({ channel }: { channel: ChannelRow }) {
  const { canAdminister } = useTenancy()
  const [code, setCode] = useState('')
  const confirm = useAct({
    act: async () => await answer(supabase.rpc('confirm_alert_channel', { channel: channel.id, code: code.trim() })),
    touches: TOUCHES,
    done: (isRight) => (isRight ? showDone('The address is confirmed.') : showRefusal(new Error('This is not the code of the last mail. Five wrong ones use it up.'))),
  })
  const again = useAct({
    act: async () => await answer(supabase.rpc('request_alert_confirmation', { channel: channel.id })),
    touches: TOUCHES,
    done: () => showDone('Another mail with a code is on its way.'),
  })
  const { data: deliveries } = useTenantRows<DeliveryRow>('job_alert_deliveries', 'created_at', 200, 5_000)
  const mail = deliveries?.find((one) => one.channel_id === channel.id && one.kind === 'confirmation')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    confirm.mutate(undefined)
  }
  return (
    <form className="confirmation" onSubmit={submit}>
      <input className="input small mono" aria-label="Code of the mail" placeholder="code of the mail" required size={12} value={code} onInput={(event) => setCode(event.currentTarget.value)} />
      <Button type="submit" size="small" kind="primary" isBusy={confirm.isPending}>Confirm</Button>
      <Button size="small" right={canAdminister} isBusy={again.isPending} onClick={() => again.mutate(undefined)}>Send another</Button>
      {mail && mail.status !== 'sent' && mail.error && <p className="bad">The mail was not sent: <Text value={mail.error} most={300} /></p>}
    </form>
  )
}
