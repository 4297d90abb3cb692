import { useSession, useTenancy } from '../data/session'
import { visible } from '../lib/text'
import { PageHead, Panel } from '../ui/basics'
import { CopyButton } from '../ui/copy'
import { Invitations } from './workspace/invitations'
import { Members } from './workspace/members'
import { Ownership } from './workspace/ownership'
import { PendingInvitations } from './workspace/pending'
import { Quotas } from './workspace/quotas'
import '../styles/workspace.css'

export default function Workspace() {
  const { workspace, name, isOurs, role, canAdminister } = useTenancy()
  const { user } = useSession()
  return (
    <>
      <PageHead
        title={<bdi>{visible(workspace ? name : 'Private jobs')}</bdi>}
        lead={workspace ? `You are ${role === 'viewer' ? 'a viewer' : `an ${role}`}.` : 'Only you see these jobs. A workspace shares them with others.'}
      />
      <div className="workspace">
        <Invitations />
        {workspace && isOurs && <Members workspace={workspace} />}
        {workspace && isOurs && canAdminister.isAllowed && <PendingInvitations workspace={workspace} />}
        <Quotas workspace={workspace} />
        <Panel title="You">
          <dl className="panel-body pairs">
            <div><dt>Signed in as</dt><dd><bdi>{visible(user?.email ?? '')}</bdi></dd></div>
            <div><dt>Your user id</dt><dd className="mono">{user?.id}<CopyButton text={user?.id ?? ''} label="Copy your user id" /></dd></div>
          </dl>
          <p className="panel-body muted">An admin of a workspace needs this id to invite you.</p>
        </Panel>
        <Ownership />
      </div>
    </>
  )
}
