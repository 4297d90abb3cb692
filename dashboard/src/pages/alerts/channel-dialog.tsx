import { useState } from 'react'
import type { ChannelKind, ChannelRow } from './data'
import { MailNote } from './mail-note'
import { RowDialog } from './row-dialog'

interface Kind {
  title: string
  target?: string
  secret?: string
  hint: string
}

const KINDS: Partial<Record<ChannelKind, Kind>> = {
  email: { title: 'Mail', target: 'Address', hint: 'A mail with a code goes there first, and nothing else until it is confirmed.' },
  webhook: { title: 'Webhook', target: 'URL', secret: 'Signing key (whsec_…)', hint: 'Requests are signed as Standard Webhooks says, and go to public addresses only.' },
  slack: { title: 'Slack', secret: 'URL of an incoming webhook', hint: 'Slack: Apps → Incoming Webhooks.' },
  discord: { title: 'Discord', secret: 'URL of a webhook', hint: 'Discord: Server Settings → Integrations → Webhooks.' },
}

export function ChannelDialog({ channel, onClose }: { channel: ChannelRow | null; onClose: () => void }) {
  const [kind, setKind] = useState<ChannelKind>(channel?.kind ?? 'email')
  const [name, setName] = useState(channel?.name ?? '')
  const [target, setTarget] = useState(channel?.target ?? '')
  const [secret, setSecret] = useState('')
  const shape = KINDS[kind]
  const columns = {
    name: name.trim() || null,
    ...(shape?.target ? { target: target.trim() } : {}),
    ...(secret ? { secret } : {}),
    ...(channel ? {} : { kind }),
  }
  return (
    <RowDialog what="channel" id={channel?.id ?? null} columns={columns} onClose={onClose}>
      {!channel && (
        <label className="field">
          <span>Kind</span>
          <select className="input" value={kind} onChange={(event) => setKind(event.currentTarget.value as ChannelKind)}>
            {Object.entries(KINDS).map(([value, { title }]) => <option key={value} value={value}>{title}</option>)}
          </select>
        </label>
      )}
      {shape?.target && (
        <label className="field">
          <span>{shape.target}</span>
          <input className="input" required type={kind === 'email' ? 'email' : 'url'} value={target} onInput={(event) => setTarget(event.currentTarget.value)} />
        </label>
      )}
      {(shape?.secret || (channel && kind === 'apprise')) && (
        <label className="field">
          <span>{shape?.secret ?? 'Apprise URL'}</span>
          <input className="input mono" type="password" autoComplete="off" required={!channel} placeholder={channel ? 'unchanged; nobody can read it' : ''} value={secret} onInput={(event) => setSecret(event.currentTarget.value)} />
        </label>
      )}
      <label className="field"><span>Name</span><input className="input" maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} /></label>
      {shape && <p className="muted">{shape.hint}</p>}
      {kind === 'email' && <MailNote />}
    </RowDialog>
  )
}
