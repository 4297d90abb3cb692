import { joined } from './check'
import { useForm } from './context'
import { Field } from './Field'
import type { LeafProps } from './fields'
import { Frame, useMarks } from './Frame'
import { JsonField } from './JsonField'
import { type Json, type JsonObject, isObject, shown } from './json'
import { MapRows } from './MapRows'
import { RemoveButton } from './RemoveButton'
import { labelOf, partOf, type Schema } from './schema'
import { useRowKeys } from './useRowKeys'
import { startOf } from './values'

const MOST_ROWS = 100

interface ListProps extends LeafProps {
  item: Schema
}

export function ListField(props: ListProps) {
  const { item, part, name, path, value, isRequired, onChange } = props
  const { root, isDisabled } = useForm()
  const { marks, fault } = useMarks(path, Boolean(part.schema.description), isRequired)
  const items = Array.isArray(value) ? value : []
  const { keys, drop } = useRowKeys(items.length)
  const label = props.label ?? labelOf(name, part.schema)
  const inner = partOf(item, root)
  if ((value !== undefined && value !== null && !Array.isArray(value)) || items.length > MOST_ROWS) return <JsonField {...props} />
  if (inner.shape.kind === 'choice' && isSetOf(items, inner.shape.options)) {
    return <ChecksField {...props} options={inner.shape.options} />
  }
  const isFull = part.schema.maxItems !== undefined && items.length >= part.schema.maxItems
  const remove = (place: number) => {
    drop(place)
    const left = items.toSpliced(place, 1)
    onChange(left.length === 0 && !isRequired ? undefined : left)
  }
  const empty: Json = inner.shape.kind in EMPTY ? '' : null
  const add = (
    <button
      type="button" className="button small" disabled={isDisabled || isFull}
      onClick={() => onChange([...items, startOf(item, root, 1) ?? empty])}
    >
      Add<span className="visually-hidden"> to {label}</span>
    </button>
  )
  return (
    <Frame isGroup path={path} label={label} hint={part.schema.description} actions={add} {...{ fault, marks, isRequired }} isBare={props.isBare}>
      {items.map((each, place) => (
        <div className="field-item" key={keys[place]}>
          <Field
            name={name} label={`${label} ${place + 1}`} isBare path={joined(path, place)} schema={item} value={each} isRequired
            onChange={(next) => onChange(items.with(place, next ?? empty))}
          />
          <RemoveButton what={`${label} ${place + 1}`} onClick={() => remove(place)} />
        </div>
      ))}
      {items.length === 0 && <p className="field-empty">{defaultWords(part.schema.default)}</p>}
    </Frame>
  )
}

/** The shapes of which an empty field holds an empty text, which the check names. */
const EMPTY = { text: true, secret: true, integer: true, number: true }
const isSetOf = (items: Json[], options: Json[]) =>
  options.length <= 20 && items.every((item, place) => options.includes(item) && items.indexOf(item) === place)
const defaultWords = (given: Json | undefined) =>
  Array.isArray(given) && given.length > 0 ? `Default: ${given.map(shown).join(', ')}` : 'None'

/** Some of a few: a box for each. */
function ChecksField({ options, part, name, path, value, isRequired, onChange, label }: LeafProps & { options: Json[] }) {
  const { isDisabled } = useForm()
  const { marks, fault } = useMarks(path, Boolean(part.schema.description), isRequired)
  const chosen = Array.isArray(value) ? value : []
  const toggle = (option: Json, isOn: boolean) => {
    const next = options.filter((each) => (each === option ? isOn : chosen.includes(each)))
    onChange(next.length === 0 && !isRequired ? undefined : next)
  }
  return (
    <Frame isGroup path={path} label={label ?? labelOf(name, part.schema)} hint={part.schema.description} {...{ fault, marks, isRequired }}>
      <div className="field-checks">
        {options.map((option, i) => (
          <label className="field-check" key={i}>
            <input type="checkbox" disabled={isDisabled} checked={chosen.includes(option)} onChange={(event) => toggle(option, event.currentTarget.checked)} />
            <bdi>{shown(option)}</bdi>
          </label>
        ))}
      </div>
    </Frame>
  )
}

interface ObjectProps extends LeafProps {
  properties: [string, Schema][]
  required: Set<string>
  others: Schema | null
}

export function ObjectField(props: ObjectProps) {
  const { properties, part, name, path, value, isRequired, onChange } = props
  const { root, isDisabled } = useForm()
  const { marks, fault } = useMarks(path, Boolean(part.schema.description), isRequired)
  const label = props.label ?? labelOf(name, part.schema)
  if (value !== undefined && value !== null && !isObject(value)) return <JsonField {...props} />
  const isAbsent = value === undefined || value === null
  const add = (
    <button type="button" className="button small" disabled={isDisabled} onClick={() => onChange(startOf(part.schema, root) ?? {})}>
      Add<span className="visually-hidden"> {label}</span>
    </button>
  )
  const remove = !isRequired && <RemoveButton what={label} onClick={() => onChange(undefined)} />
  const actions = properties.length > 0 && (isAbsent ? add : remove)
  return (
    <Frame isGroup path={path} label={label} hint={part.schema.description} actions={actions} {...{ fault, marks, isRequired }} isBare={props.isBare}>
      {isAbsent && properties.length > 0 ? <p className="field-empty">Not set</p> : <ObjectFields {...props} />}
    </Frame>
  )
}

/** The fields of an object, and its other keys where it may have some. */
export function ObjectFields(props: ObjectProps & { hidden?: string | undefined }) {
  const { properties, required, others, part, path, value, isRequired, onChange, hidden } = props
  const given = isObject(value) ? value : {}
  const set = (key: string, next: Json | undefined) => {
    const { [key]: _, ...left } = given
    onChange(next === undefined ? left : { ...given, [key]: next })
  }
  const names = new Set(properties.map(([key]) => key))
  const isMap = properties.length === 0
  const keep = Object.fromEntries(Object.entries(given).filter(([key]) => names.has(key)))
  const rest = Object.fromEntries(Object.entries(given).filter(([key]) => !names.has(key)))
  const emit = (next: JsonObject) => onChange(isMap && !isRequired && Object.keys(next).length === 0 ? undefined : { ...keep, ...next })
  return (
    <>
      {properties.filter(([key]) => key !== hidden).map(([key, schema]) => (
        <Field
          key={key} name={key} path={joined(path, key)} schema={schema} value={Object.hasOwn(given, key) ? given[key] : undefined}
          isRequired={required.has(key)} onChange={(next) => set(key, next)}
        />
      ))}
      {(others || Object.keys(rest).length > 0) && (
        <MapRows
          heading={isMap ? '' : 'Other keys'} schema={others ?? {}} isByName={part.schema.secret === 'by_name'} path={path} value={rest}
          onChange={emit}
        />
      )}
    </>
  )
}
