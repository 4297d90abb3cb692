import { writeJson } from '../../form/json'
import { redacted } from '../../form/values'
import { JsonView } from '../../ui/copy'
import { ErrorNote, Skeleton } from '../../ui/basics'
import { useHandlers } from '../job-edit/handlers'
import type { JobRow } from '../job-edit/row'

/** The payload without its secrets, and what the last run returned; both with exact numbers. */
export default function PayloadTab({ job }: { job: JobRow }) {
  const { data: handlers, error, refetch } = useHandlers()
  if (error) return <ErrorNote error={error} retry={() => void refetch()} />
  if (!handlers) return <Skeleton rows={3} height={60} />
  const schema = handlers.find(({ name }) => name === job.handler)?.schema
  const shown = schema ? redacted(job.metadata, schema, schema) : job.metadata
  const isCovered = schema !== undefined && schema !== null && writeJson(shown) !== writeJson(job.metadata)
  return (
    <div className="stack">
      <JsonView label="Payload" text={writeJson(shown)} />
      {isCovered && <p className="muted">Values that the handler marks secret are covered.</p>}
      {job.result_text !== null && <JsonView label="Result of the last run" text={job.result_text} />}
    </div>
  )
}
