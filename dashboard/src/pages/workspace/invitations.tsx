import { answer, supabase } from '../../data/client'
import { useAct, useLiveQuery } from '../../data/queries'
import { useSession, useTenancy } from '../../data/session'
import type { Invitation } from '../../data/types'
import { Badge, Button, Panel, Text } from '../../ui/basics'
import { showDone } from '../../ui/toast'
import { Time } from '../../ui/time'

/** Invitations to the person who is signed in. */
export function Invitations() {
  const { user } = useSession()
  const { open } = useTenancy()
  const { data } = useLiveQuery({
    queryKey: ['invitations', user?.id],
    touchedBy: 'never',
    every: 60_000,
    queryFn: async ({ signal }) => await answer(
      supabase.from('job_workspace_invitations').select('*').eq('user_id', user?.id ?? '').order('created_at').limit(100).abortSignal(signal),
    ) as Invitation[],
  })
  const touches = [['invitations'], ['workspaces']]
  const accept = useAct({
    act: async (invitation: Invitation) => await answer(supabase.rpc('accept_invitation', { workspace: invitation.workspace_id })),
    touches,
    done: (_, invitation) => showDone(`You are a member of ${invitation.workspace_name ?? 'the workspace'}.`, { label: 'Open', press: () => open(invitation.workspace_id) }),
  })
  const decline = useAct({
    act: async (invitation: Invitation) => await answer(supabase.rpc('decline_invitation', { workspace: invitation.workspace_id })),
    touches,
    done: () => showDone('The invitation is declined.'),
  })
  if (!data || data.length === 0) return null
  return (
    <Panel title="Invitations to you" className="wide">
      <ul className="rows">
        {data.map((one) => (
          <li key={one.workspace_id}>
            <strong><Text value={one.workspace_name ?? one.workspace_id} /></strong>
            <Badge>as {one.role}</Badge>
            <span className="muted spring"><Time at={one.created_at} as="relative" /></span>
            <Button size="small" kind="primary" isBusy={accept.isPending} onClick={() => accept.mutate(one)}>Accept</Button>
            <Button size="small" isBusy={decline.isPending} onClick={() => decline.mutate(one)}>Decline</Button>
          </li>
        ))}
      </ul>
    </Panel>
  )
}
