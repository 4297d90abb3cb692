import { useState, type FormEvent } from 'react'
import { answer, supabase } from '../../data/client'
import { useAct, useLiveQuery } from '../../data/queries'
import type { Invitation, Role } from '../../data/types'
import { Badge, Button, ErrorNote, Panel } from '../../ui/basics'
import { Time } from '../../ui/time'
import { showDone } from '../../ui/toast'
import { ROLES } from './members'

/** Invitations that an admin wrote and nobody has answered. */
export function PendingInvitations({ workspace }: { workspace: string }) {
  const { data } = useLiveQuery({
    queryKey: ['pending', workspace],
    touchedBy: 'never',
    queryFn: async ({ signal }) => await answer(
      supabase.from('job_workspace_invitations').select('*').eq('workspace_id', workspace).order('created_at').limit(500).abortSignal(signal),
    ) as Invitation[],
  })
  const takeBack = useAct({
    act: async (one: Invitation) => await answer(
      supabase.from('job_workspace_invitations').delete().eq('workspace_id', workspace).eq('user_id', one.user_id).select('user_id').single(),
    ),
    touches: [['pending', workspace]],
  })
  return (
    <Panel title="Invite somebody" className="wide">
      <Invite workspace={workspace} />
      <ul className="rows">
        {data?.map((one) => (
          <li key={one.user_id}>
            <span className="mono who" title={one.user_id}>{one.user_id}</span>
            <Badge>as {one.role}</Badge>
            <span className="muted spring">invited <Time at={one.created_at} as="relative" />, not answered</span>
            <Button size="small" isBusy={takeBack.isPending} onClick={() => takeBack.mutate(one)}>Take back</Button>
          </li>
        ))}
      </ul>
    </Panel>
  )
}

const USER_ID = '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'

function Invite({ workspace }: { workspace: string }) {
  const [user, setUser] = useState('')
  const [role, setRole] = useState<Role>('viewer')
  const invite = useAct({
    act: async () => await answer(
      supabase.from('job_workspace_invitations').insert({ workspace_id: workspace, user_id: user.trim(), role }).select('user_id').single(),
    ),
    touches: [['pending', workspace]],
    showsRefusal: true,
    done: () => {
      setUser('')
      showDone('The invitation waits for an answer, on the page “Workspace” of who it is for.')
    },
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    invite.mutate(undefined)
  }
  return (
    <form className="panel-body invite" onSubmit={submit}>
      <label className="field">
        <span>User id</span>
        <input className="input mono" required pattern={` *${USER_ID} *`} title="A user's id, which its owner finds on this page" placeholder="00000000-0000-0000-0000-000000000000" value={user} onInput={(event) => setUser(event.currentTarget.value)} />
      </label>
      <label className="field">
        <span>As</span>
        <select className="select" value={role} onChange={(event) => setRole(event.currentTarget.value as Role)}>
          {ROLES.map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
      </label>
      <Button type="submit" kind="primary" isBusy={invite.isPending}>Invite</Button>
      {invite.error && <ErrorNote error={invite.error} />}
    </form>
  )
}
