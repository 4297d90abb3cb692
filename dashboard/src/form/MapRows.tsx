import { useRef, useState } from 'react'
import { joined } from './check'
import { useForm } from './context'
import { Field } from './Field'
import { type Json, type JsonObject, isSame } from './json'
import { RemoveButton } from './RemoveButton'
import { partOf, type Schema } from './schema'
import { useRowKeys } from './useRowKeys'
import { looksSecret, startOf } from './values'

/** What a value is where the schema says nothing of it. */
const ANY: Schema = { anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'boolean' }, { title: 'JSON' }] }

interface MapProps {
  heading: string
  schema: Schema
  /** Whether values are secret whose keys are names of secrets. */
  isByName: boolean
  path: string
  value: JsonObject
  onChange: (value: JsonObject) => void
}

type Row = [key: string, value: Json]

const isTwice = (rows: Row[], key: string, place: number) => rows.findIndex(([other]) => other === key) < place

function faultOf(rows: Row[], place: number): string | undefined {
  const [key, value] = rows[place] as Row
  if (key === '') return value === '' || value === null ? undefined : 'A key is missing'
  return isTwice(rows, key, place) ? 'This key comes twice' : undefined
}

/** Rows of key and value. A row without a key, or with one that another has, counts once it has one of its own. */
export function MapRows({ heading, schema, isByName, path, value, onChange }: MapProps) {
  const { isDisabled, id, root, noteBroken } = useForm()
  const [rows, setRows] = useState<Row[]>(() => Object.entries(value))
  const written = useRef(value)
  const { keys, drop } = useRowKeys(rows.length)
  if (!isSame(value, written.current)) {
    written.current = value
    setRows(Object.entries(value)) // changed elsewhere: in the JSON editor, or by somebody else
  }
  const of = partOf(schema, root).shape.kind === 'json' && schema.type === undefined ? ANY : schema
  const change = (next: Row[]) => {
    setRows(next)
    noteBroken(`${path} keys`, next.map((_, place) => faultOf(next, place)).find(Boolean))
    written.current = Object.fromEntries(next.filter(([key], place) => key !== '' && !isTwice(next, key, place)))
    onChange(written.current)
  }
  const ownId = `${id}-${encodeURIComponent(path)}-keys`
  return (
    <div className="field-map" role="group" aria-labelledby={heading && ownId}>
      {heading && <p className="field-name" id={ownId}>{heading}</p>}
      {rows.map(([key, each], place) => {
        const fault = faultOf(rows, place)
        return (
          <div className="field-item" key={keys[place]}>
            <div className="field">
              <input
                className="input" aria-label={`Key ${place + 1}`} value={key} disabled={isDisabled} spellCheck={false}
                placeholder="key" aria-invalid={fault ? true : undefined}
                aria-describedby={fault && `${ownId}-${place}`}
                onChange={(event) => change(rows.with(place, [event.currentTarget.value, each]))}
              />
              {fault && <p className="field-fault" id={`${ownId}-${place}`}>{fault}</p>}
            </div>
            <Field
              name={key} label={`Value of ${key || `key ${place + 1}`}`} isBare isRequired value={each}
              path={joined(path, key || `(row ${place + 1})`)} schema={isByName && looksSecret(key) ? { ...of, secret: true } : of}
              onChange={(next) => change(rows.with(place, [key, next ?? '']))}
            />
            <RemoveButton
              what={key || `row ${place + 1}`}
              onClick={() => {
                drop(place)
                change(rows.toSpliced(place, 1))
              }}
            />
          </div>
        )
      })}
      <button
        type="button" className="button small" disabled={isDisabled}
        onClick={() => setRows([...rows, ['', startOf(of, root, 1) ?? '']])}
      >
        Add a key
      </button>
    </div>
  )
}
