import { useMemo, useState } from 'react'
import { type Faults, check } from './check'
import { ObjectFields } from './collections'
import { FormContext, type FormState } from './context'
import { Field } from './Field'
import type { Json, JsonObject } from './json'
import { partOf, type Schema } from './schema'

interface SchemaFormProps {
  id: string
  schema: Schema
  value: JsonObject
  onChange: (value: JsonObject) => void
  /** What the database refused, by path: shown until the field changes. */
  refusals?: Faults
  /** Whether faults are shown of fields that nobody has left yet. */
  showsAll: boolean
  isDisabled?: boolean
  onBroken?: (fault: string | undefined) => void
}

/** A form for a payload, made from the schema of its handler. */
export function SchemaForm({ id, schema, value, onChange, refusals, showsAll, isDisabled = false, onBroken }: SchemaFormProps) {
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set())
  const [broken] = useState(() => new Map<string, string>())
  const faults = useMemo(() => new Map([...check(value, schema), ...(refusals ?? [])]), [value, schema, refusals])
  const state: FormState = {
    root: schema,
    id,
    faults,
    isDisabled,
    isShown: (path) => showsAll || left.has(path) || Boolean(refusals?.has(path)),
    noteBroken: (path, fault) => {
      if (fault === undefined) broken.delete(path)
      else broken.set(path, fault)
      onBroken?.(broken.values().next().value)
    },
  }
  const part = partOf(schema, schema)
  const set = (next: Json | undefined) => onChange((next ?? {}) as JsonObject)
  const leave = (event: { target: unknown }) => {
    const path = (event.target as HTMLElement).closest<HTMLElement>('[data-path]')?.dataset.path
    if (path !== undefined && !left.has(path)) setLeft(new Set([...left, path]))
  }
  return (
    <FormContext.Provider value={state}>
      <div className="schema-form" onBlur={leave}>
        {part.shape.kind === 'object' ? (
          <ObjectFields
            name="" path="" schema={schema} part={part} value={value} isRequired onChange={set} properties={part.shape.properties}
            required={part.shape.required} others={part.shape.others}
          />
        ) : (
          <Field name="payload" path="" schema={schema} value={value} isRequired onChange={set} />
        )}
        <RootFault faults={faults} id={id} isShown={showsAll || Boolean(refusals?.has(''))} />
      </div>
    </FormContext.Provider>
  )
}

function RootFault({ faults, id, isShown }: { faults: Faults; id: string; isShown: boolean }) {
  const fault = faults.get('')
  return fault && isShown ? <p className="field-fault" id={`${id}--fault`}>{fault}</p> : null
}
