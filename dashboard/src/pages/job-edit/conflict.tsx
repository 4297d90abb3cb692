import { useState } from 'react'
import type { Json } from '../../data/types'
import { type JsonObject, writeJson } from '../../form/json'
import type { Schema } from '../../form/schema'
import { redacted } from '../../form/values'
import { Button, Text } from '../../ui/basics'
import { Dialog } from '../../ui/dialog'
import { Time } from '../../ui/time'
import { definitionIn, differing } from './draft'
import type { Column, Definition, JobRow } from './row'

interface ConflictProps {
  base: JobRow
  theirs: JobRow
  mine: Definition
  schema: Schema | null
  onResolve: (chosen: Definition, saves: boolean) => void
  onClose: () => void
}

/** Somebody else changed the job: what they changed, beside what one would have written. */
export function Conflict({ base, theirs, mine, schema, onResolve, onClose }: ConflictProps) {
  const changed = differing(definitionIn(theirs), definitionIn(base))
  const columns = Object.keys(changed) as Column[]
  const disputed = columns.filter((column) => mine[column] !== undefined)
  const [takes, setTakes] = useState<Partial<Record<Column, 'mine' | 'theirs'>>>({})
  const kept = Object.fromEntries(Object.entries(mine).filter(([column]) => (takes[column as Column] ?? 'mine') === 'mine')) as Definition
  const show = (value: Json | undefined, column: Column) => shownValue(column, value, schema)
  return (
    <Dialog title="Somebody else changed this job" onClose={onClose} className="conflict">
      <p className="dialog-text">
        It was changed <Time at={theirs.updated_at} as="relative" />, after you had opened it. Nothing of yours was written yet.
        {disputed.length === 0 ? ' You changed other parts of it, so both fit together.' : ' You both changed what is marked: take one of the two.'}
      </p>
      <div className="table-scroll" tabIndex={0} role="region" aria-label="Changes">
        <table className="table">
          <thead><tr><th scope="col">Column</th><th scope="col">Before</th><th scope="col">Theirs</th><th scope="col">Yours</th></tr></thead>
          <tbody>
            {columns.map((column) => (
              <tr key={column} data-disputed={disputed.includes(column) || undefined}>
                <th scope="row" className="mono">{column}</th>
                <td><Text value={show(definitionIn(base)[column], column)} most={200} /></td>
                {disputed.includes(column) ? (
                  (['theirs', 'mine'] as const).map((which) => (
                    <td key={which}>
                      <label className="field-check">
                        <input
                          type="radio" name={`take-${column}`} checked={(takes[column] ?? 'mine') === which}
                          onChange={() => setTakes({ ...takes, [column]: which })}
                        />
                        <Text value={show(which === 'mine' ? mine[column] : changed[column], column)} most={200} />
                      </label>
                    </td>
                  ))
                ) : (
                  <><td><Text value={show(changed[column], column)} most={200} /></td><td className="muted">taken over</td></>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="dialog-acts">
        <Button onClick={() => onResolve({}, false)}>Discard mine</Button>
        <Button onClick={() => onResolve(kept, false)}>Back to the form</Button>
        <Button kind="primary" onClick={() => onResolve(kept, true)}>Save</Button>
      </div>
    </Dialog>
  )
}

function shownValue(column: Column, value: Json | undefined, schema: Schema | null): string {
  if (value === undefined || value === null) return '–'
  if (column === 'metadata') return writeJson(schema ? redacted(value as JsonObject, schema, schema) : value)
  return typeof value === 'string' ? value : writeJson(value, 0)
}
