import { useEffect, useId, useState } from 'react'
import { check, type Faults } from './check'
import { useJsonText } from './JsonField'
import { type Json, isObject, type JsonObject } from './json'
import { SchemaForm } from './SchemaForm'
import { hasForm, type Schema } from './schema'

interface PayloadEditorProps {
  /** Null: the handler takes anything. */
  schema: Schema | null
  value: JsonObject
  onChange: (value: JsonObject) => void
  refusals: Faults
  showsAll: boolean
  isDisabled?: boolean
  /** Whether the payload cannot be saved: a text that is no JSON, or a field that does not fit. */
  onFaults: (hasFaults: boolean) => void
  mode: 'form' | 'json'
  onMode: (mode: 'form' | 'json') => void
}

/** A payload as a form, where its handler has a schema, or as JSON. */
export default function PayloadEditor(props: PayloadEditorProps) {
  const { schema, mode, onMode, onFaults, ...beside } = props
  const [brokenIn, setBrokenIn] = useState<string>()
  const offersForm = hasForm(schema)
  const isForm = offersForm && mode === 'form'
  const hasFaults = brokenIn !== undefined || (isForm && check(props.value, schema).size > 0)
  useEffect(() => onFaults(hasFaults), [hasFaults])
  return (
    <div className="payload">
      {offersForm && (
        <div className="tabs" role="group" aria-label="Edit the payload as">
          {(['form', 'json'] as const).map((each) => (
            <button
              key={each} type="button" className="tab" aria-pressed={mode === each} disabled={brokenIn !== undefined && mode !== each}
              title={brokenIn !== undefined && mode !== each ? brokenIn : undefined} onClick={() => onMode(each)}
            >
              {each === 'form' ? 'Form' : 'JSON'}
            </button>
          ))}
        </div>
      )}
      {isForm ? (
        <SchemaForm id="payload" schema={schema} {...beside} onBroken={setBrokenIn} />
      ) : (
        <JsonPayload schema={schema} {...beside} onBroken={setBrokenIn} />
      )}
    </div>
  )
}

type JsonProps = Pick<PayloadEditorProps, 'schema' | 'value' | 'onChange' | 'refusals' | 'isDisabled'> & {
  onBroken: (fault: string | undefined) => void
}

function JsonPayload({ schema, value, onChange, refusals, isDisabled, onBroken }: JsonProps) {
  const id = useId()
  const { text, write, fault } = useJsonText(value, (next: Json | undefined) => {
    if (next === undefined || isObject(next)) onChange(next ?? {})
  })
  const [isOther, setIsOther] = useState(false)
  const doubts = schema ? [...check(value, schema)] : []
  const broken = fault ?? (isOther ? 'A payload is an object: { … }' : undefined)
  const lines = broken ? [['', broken] as const] : refusals.size > 0 ? [...refusals] : doubts
  const change = (next: string) => {
    const unreadable = write(next)
    const isNoObject = unreadable === undefined && next.trim() !== '' && !/^\s*\{/.test(next)
    setIsOther(isNoObject)
    onBroken(unreadable ?? (isNoObject ? 'A payload is an object' : undefined))
  }
  return (
    <div className="field">
      <label className="visually-hidden" htmlFor={id}>Payload as JSON</label>
      <textarea
        id={id} className="textarea field-json" rows={Math.min(Math.max(text.split('\n').length + 1, 5), 24)} spellCheck={false} value={text}
        disabled={isDisabled} aria-invalid={broken ? true : undefined} aria-describedby={`${id}-notes`}
        onChange={(event) => change(event.currentTarget.value)}
      />
      <div id={`${id}-notes`} role="status">
        {lines.map(([path, words]) => (
          <p key={path} className={broken || refusals.size > 0 ? 'field-fault' : 'field-doubt'}>{path && <code>{path}</code>} {words}</p>
        ))}
        {!schema && lines.length === 0 && <p className="field-hint">The handler takes any object.</p>}
      </div>
    </div>
  )
}
