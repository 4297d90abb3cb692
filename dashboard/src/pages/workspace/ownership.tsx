import { useState, type FormEvent } from 'react'
import { answer, supabase } from '../../data/client'
import { useAct } from '../../data/queries'
import { useTenancy } from '../../data/session'
import { Button, ErrorNote, Panel } from '../../ui/basics'
import { Dialog } from '../../ui/dialog'
import { showDone } from '../../ui/toast'

/** Workspaces come, are renamed, and go. */
export function Ownership() {
  const { workspace, name, isOurs, canAdminister, open } = useTenancy()
  const [asks, setAsks] = useState<'create' | 'rename' | 'delete' | null>(null)
  const close = () => setAsks(null)
  const create = useAct({
    act: async (typed: string) => await answer(supabase.from('job_workspaces').insert({ name: typed }).select('id,name').single()),
    touches: [['workspaces']],
    showsRefusal: true,
    done: (made) => {
      close()
      showDone(`The workspace ${made.name} is there, and you are its admin.`, { label: 'Open', press: () => open(made.id as string) })
    },
  })
  const rename = useAct({
    act: async (typed: string) => await answer(supabase.from('job_workspaces').update({ name: typed }).eq('id', workspace ?? '').select('id').single()),
    touches: [['workspaces']],
    showsRefusal: true,
    done: close,
  })
  const remove = useAct({
    act: async () => await answer(supabase.from('job_workspaces').delete().eq('id', workspace ?? '').select('id').single()),
    touches: [['workspaces']],
    showsRefusal: true,
    done: () => {
      close()
      open(null)
    },
  })
  return (
    <Panel title="Workspaces">
      <div className="panel-body page-acts">
        <Button icon="plus" onClick={() => setAsks('create')}>New workspace</Button>
        {isOurs && <Button icon="edit" right={canAdminister} onClick={() => setAsks('rename')}>Rename</Button>}
        {isOurs && <Button icon="trash" kind="danger" right={canAdminister} onClick={() => setAsks('delete')}>Delete</Button>}
      </div>
      {asks === 'create' && <NameDialog title="New workspace" act="Create" initial="" error={create.error} isBusy={create.isPending} onName={(typed) => create.mutate(typed)} onClose={close} />}
      {asks === 'rename' && <NameDialog title="Rename the workspace" act="Rename" initial={name} error={rename.error} isBusy={rename.isPending} onName={(typed) => rename.mutate(typed)} onClose={close} />}
      {asks === 'delete' && (
        <NameDialog
          title={`Delete ${name}?`} act="Delete" initial="" mustBe={name} error={remove.error} isBusy={remove.isPending}
          onName={() => remove.mutate(undefined)} onClose={close}
          lead="Its jobs, their runs and their logs are deleted with it, for all members. This cannot be undone."
        />
      )}
    </Panel>
  )
}

interface NameDialogProps {
  title: string
  act: string
  initial: string
  lead?: string
  /** What has to be typed before the act is done. */
  mustBe?: string
  error: Error | null
  isBusy: boolean
  onName: (typed: string) => void
  onClose: () => void
}

function NameDialog({ title, act, initial, lead, mustBe, error, isBusy, onName, onClose }: NameDialogProps) {
  const [typed, setTyped] = useState(initial)
  const isReady = mustBe === undefined ? typed.trim() !== '' : typed === mustBe
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (isReady) onName(typed.trim())
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="fields" onSubmit={submit}>
        {lead && <p className="soft">{lead}</p>}
        <label className="field">
          <span>{mustBe === undefined ? 'Name' : 'Type its name to go on'}</span>
          <input className="input" autoFocus maxLength={200} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        </label>
        {error && <ErrorNote error={error} />}
        <div className="dialog-acts">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind={mustBe === undefined ? 'primary' : 'danger'} disabled={!isReady} isBusy={isBusy}>{act}</Button>
        </div>
      </form>
    </Dialog>
  )
}
