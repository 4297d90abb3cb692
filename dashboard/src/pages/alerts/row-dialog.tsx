import type { FormEvent, ReactNode } from 'react'
import { answer, supabase } from '../../data/client'
import { useAct } from '../../data/queries'
import { useTenancy } from '../../data/session'
import { Button, ErrorNote } from '../../ui/basics'
import { Dialog } from '../../ui/dialog'

interface RowDialogProps {
  what: 'rule' | 'channel'
  /** Of the row that is edited; null inserts one into the open workspace. */
  id: string | null
  columns: Record<string, unknown>
  onClose: () => void
  onSaved?: (() => void) | undefined
  children: ReactNode
}

/** The dialog of a rule or a channel, around its fields: it saves the row, and shows why it was refused. */
export function RowDialog({ what, id, columns, onClose, onSaved, children }: RowDialogProps) {
  const { workspace } = useTenancy()
  const table = `job_alert_${what}s`
  const save = useAct({
    act: async () => {
      const rows = supabase.from(table)
      const written = id ? rows.update(columns).eq('id', id) : rows.insert({ ...columns, workspace_id: workspace })
      return await answer(written.select('id').single())
    },
    touches: [[table], ['job_alert_deliveries']],
    showsRefusal: true,
    done: () => {
      onClose()
      onSaved?.()
    },
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    save.mutate(undefined)
  }
  return (
    <Dialog title={id ? `Edit the ${what}` : `New ${what}`} onClose={onClose}>
      <form className="fields" onSubmit={submit}>
        {children}
        {save.error && <ErrorNote error={save.error} />}
        <div className="dialog-acts">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" isBusy={save.isPending}>{id ? 'Save' : `Create ${what}`}</Button>
        </div>
      </form>
    </Dialog>
  )
}
