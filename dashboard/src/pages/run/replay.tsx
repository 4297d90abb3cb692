import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useId, useState } from 'react'
import { answer, supabase } from '../../data/client'
import type { Run } from '../../data/runs'
import { parseExact, pretty } from '../../lib/exact'
import { head } from '../../lib/text'
import { go } from '../../lib/urls'
import { Button, ErrorNote } from '../../ui/basics'
import { Dialog } from '../../ui/dialog'
import { showDone } from '../../ui/toast'

const NAME_CHARACTERS = 500

/** Inserts a job that runs once, now, with the payload of the run's job as it is edited here. */
export function Replay({ run, onClose }: { run: Run; onClose: () => void }) {
  const [text, setText] = useState(() => pretty(run.job.metadata))
  const [fault, setFault] = useState<string | null>(null)
  const field = useId()
  const queries = useQueryClient()
  const replay = useMutation<number, Error, unknown>({
    mutationFn: (metadata) => insertCopy(run, metadata),
    meta: { showsRefusal: true },
    onSuccess: (job) => {
      void queries.invalidateQueries({ queryKey: ['jobs'] })
      showDone('A new job runs once with this payload.')
      onClose()
      go(`/jobs/${job}`)
    },
  })

  const submit = () => {
    let metadata: unknown
    try {
      metadata = parseExact(text)
    } catch (error) {
      setFault((error as Error).message)
      return
    }
    setFault(null)
    replay.mutate(metadata)
  }
  return (
    <Dialog title="Replay with another payload" onClose={onClose} className="dialog-wide">
      <div className="dialog-text">
        <p className="muted">A new job of the same handler runs once, now. This job and its schedule stay as they are.</p>
        <label htmlFor={field}>Payload, JSON</label>
        <textarea
          id={field} className="input mono" rows={14} spellCheck={false} value={text} aria-invalid={fault !== null}
          aria-describedby={fault ? `${field}-fault` : undefined} onInput={(event) => setText(event.currentTarget.value)}
        />
        {fault && <p id={`${field}-fault`} className="field-fault" role="alert">{fault}</p>}
        {replay.error && <ErrorNote error={replay.error} />}
      </div>
      <div className="dialog-acts">
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="primary" isBusy={replay.isPending} onClick={submit}>Run it</Button>
      </div>
    </Dialog>
  )
}

async function insertCopy({ workspace_id, job }: Run, metadata: unknown): Promise<number> {
  const row = {
    workspace_id, metadata, handler: job.handler, job_type: job.job_type, name: head(`Replay of ${job.name ?? job.job_id}`, NAME_CHARACTERS),
    max_attempts: job.max_attempts, retry_delay_seconds: job.retry_delay_seconds, retry_backoff: job.retry_backoff,
    timeout_seconds: job.timeout_seconds, priority: job.priority, concurrency_key: job.concurrency_key, store_result: job.store_result,
  }
  const rows = await answer(supabase.from('scheduled_jobs').insert(row).select('id')) as { id: number }[]
  return rows[0]?.id ?? 0
}
