import { Refusal } from '../../data/client'

/** Where a refusal belongs: a column, or a field of the payload by its path. */
export interface Placed {
  column: string | null
  /** Of the column metadata: the path of the field; '' is the whole payload. */
  path: string
  message: string
  hint: string | null
}

const QUOTA_COLUMNS: Record<string, string> = {
  max_payload_bytes: 'metadata',
  min_interval_seconds: 'schedule',
  max_timeout_seconds: 'timeout_seconds',
}

/** Reads which column, and which field of the payload, the database refused. */
export function placed(fault: unknown): Placed {
  const message = fault instanceof Error ? fault.message : String(fault)
  const hint = fault instanceof Refusal ? fault.hint : null
  if (fault instanceof Refusal && fault.code === '23505' && message.includes('job_id')) {
    return { column: 'job_id', path: '', message: 'Another job here has this key already', hint: null }
  }
  const quota = /^quota (\w+)/.exec(message)?.[1] ?? ''
  const column = QUOTA_COLUMNS[quota] ?? /scheduled_jobs\.(\w+)/.exec(message)?.[1] ?? null
  const shown = message.replace(/^scheduled_jobs\.\w+: /, '')
  return { column, path: column === 'metadata' ? pathOf(shown) : '', message: shown, hint }
}

function pathOf(message: string): string {
  const missing = /expected the key "((?:[^"\\]|\\.)+)", which handler/.exec(message)
  if (missing?.[1]) return missing[1]
  const place = /^\{"((?:[^"\\]|\\.)+)": /.exec(message)?.[1]
  return place === undefined || place === 'metadata' ? '' : place
}
