import { useState } from 'react'
import { answer, supabase } from '../../data/client'
import { useEmails } from '../../data/emails'
import { useAct, useLiveQuery } from '../../data/queries'
import { useSession, useTenancy, type Right } from '../../data/session'
import type { Member, Role } from '../../data/types'
import { visible } from '../../lib/text'
import { Button, ErrorNote, Panel, Skeleton, Text } from '../../ui/basics'
import { Confirm } from '../../ui/dialog'
import { Time } from '../../ui/time'

const MOST = 500

export function Members({ workspace }: { workspace: string }) {
  const { user } = useSession()
  const { canAdminister, name } = useTenancy()
  const emails = useEmails()
  const [leaving, setLeaving] = useState<Member | null>(null)
  const { data, error, refetch } = useLiveQuery({
    queryKey: ['members', workspace],
    touchedBy: 'never',
    queryFn: async ({ signal }) => await answer(
      supabase.from('job_workspace_members').select('*').eq('workspace_id', workspace).order('created_at').limit(MOST).abortSignal(signal),
    ) as Member[],
  })
  const touches = [['members', workspace], ['workspaces']]
  const changeRole = useAct({
    act: async ({ member, role }: { member: Member; role: Role }) => await answer(
      supabase.from('job_workspace_members').update({ role }).eq('workspace_id', workspace).eq('user_id', member.user_id).select('user_id').single(),
    ),
    touches,
  })
  const remove = useAct({
    act: async (member: Member) => await answer(
      supabase.from('job_workspace_members').delete().eq('workspace_id', workspace).eq('user_id', member.user_id).select('user_id').single(),
    ),
    touches,
    done: () => setLeaving(null),
  })
  const nameOf = (member: Member) => emails.get(member.user_id) ?? member.user_id
  const isMe = leaving?.user_id === user?.id
  return (
    <Panel title="Members" className="wide">
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {!data && !error && <Skeleton rows={2} />}
      <ul className="rows">
        {data?.map((member) => (
          <li key={member.user_id}>
            {emails.has(member.user_id)
              ? <span className="who" title={member.user_id}><Text value={nameOf(member)} /></span>
              : <span className="mono who">{member.user_id}</span>}
            {member.user_id === user?.id && <strong>you</strong>}
            <span className="muted spring">since <Time at={member.created_at} as="relative" /></span>
            <RoleChoice member={member} name={nameOf(member)} right={canAdminister} onChange={(role) => changeRole.mutate({ member, role })} />
            <Button size="small" {...(member.user_id === user?.id ? {} : { right: canAdminister })} onClick={() => setLeaving(member)}>
              {member.user_id === user?.id ? 'Leave' : 'Remove'}
            </Button>
          </li>
        ))}
      </ul>
      {leaving && (
        <Confirm
          title={isMe ? `Leave ${name}?` : 'Remove the member?'} confirm={isMe ? 'Leave' : 'Remove'} isDanger isBusy={remove.isPending}
          onConfirm={() => remove.mutate(leaving)} onClose={() => setLeaving(null)}
        >
          <p>{isMe ? 'You will no longer see its jobs, until you are invited again.' : <>The jobs that <Text value={nameOf(leaving)} /> made stay in the workspace.</>}</p>
        </Confirm>
      )}
    </Panel>
  )
}

export const ROLES: Role[] = ['viewer', 'editor', 'admin']

function RoleChoice({ member, name, right, onChange }: { member: Member; name: string; right: Right; onChange: (role: Role) => void }) {
  return (
    <select
      className="select" aria-label={`Role of ${visible(name)}`} value={member.role} disabled={!right.isAllowed} title={right.why}
      onChange={(event) => {
        const role = event.currentTarget.value as Role
        event.currentTarget.value = member.role // until the database has it
        onChange(role)
      }}
    >
      {ROLES.map((role) => <option key={role} value={role}>{role}</option>)}
    </select>
  )
}
