import { answer, supabase } from '../../data/client'
import { useAct } from '../../data/queries'
import { useSession, useTenancy } from '../../data/session'
import { Button } from '../../ui/basics'
import { showDone } from '../../ui/toast'
import { MailNote } from './mail-note'

/** One click: a rule for all failures, and mail to the address of the person who is signed in. */
export function NotifyOfFailures() {
  const { workspace, canAdminister } = useTenancy()
  const { user } = useSession()
  const make = useAct({
    act: async () => await answer(supabase.rpc('alert_on_failure', { workspace, email: user?.email ?? null })),
    touches: [['job_alert_rules'], ['job_alert_channels'], ['job_alert_deliveries']],
    done: () => showDone(`A code goes to ${user?.email ?? 'your address'} by mail; enter it under “Channels”.`),
  })
  return (
    <>
      <p className="muted">A rule says what you want to know of your jobs, a channel says where you want to read it.</p>
      <MailNote />
      <Button kind="primary" icon="alerts" right={canAdminister} isBusy={make.isPending} onClick={() => make.mutate(undefined)}>
        Notify me when anything fails
      </Button>
    </>
  )
}
