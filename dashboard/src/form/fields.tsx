import { useState } from 'react'
import { type FieldProps, useForm } from './context'
import { Frame, useMarks } from './Frame'
import { type Json, numberOf, shown } from './json'
import { labelOf, type Part } from './schema'

export type LeafProps = FieldProps & { part: Part }

const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/
const LONG_CHARACTERS = 500
const LONG_NAME = /^(text|html|body|message|content|description|prompt|sql|query|template)$/i
const INPUT_TYPES: Record<string, string> = { email: 'email', uri: 'url', date: 'date' }
const EXAMPLES: Record<string, string> = {
  'date-time': '2026-03-07T12:00:00Z',
  time: '09:30',
  duration: 'PT5M',
  uuid: '00000000-0000-0000-0000-000000000000',
  uri: 'https://',
}

/** What stands in an empty field: the value that the handler takes then, or an example. */
function placeholderOf({ schema }: Part): string {
  const { default: given, examples, format } = schema
  if (given !== undefined && given !== null && given !== '') return shown(given)
  if (examples?.[0] !== undefined) return shown(examples[0])
  return EXAMPLES[format ?? ''] ?? ''
}

/** What an emptied field holds: nothing, so that the handler's default counts; null where it must hold something. */
const emptied = ({ part, isRequired }: LeafProps) => (isRequired && part.nullable ? null : undefined)

export function TextField(props: LeafProps) {
  const { part, name, path, value, isRequired, onChange, isBare } = props
  const { isDisabled } = useForm()
  const { schema } = part
  const { marks, fault } = useMarks(path, Boolean(schema.description), isRequired)
  const text = shown(value)
  const isLong = (schema.maxLength ?? 0) > LONG_CHARACTERS || text.includes('\n') || (LONG_NAME.test(name) && !schema.format)
  const common = {
    ...marks,
    value: text,
    disabled: isDisabled,
    placeholder: placeholderOf(part),
    spellCheck: false,
    onChange: (event: { currentTarget: { value: string } }) => onChange(event.currentTarget.value || emptied(props)),
  }
  return (
    <Frame path={path} label={props.label ?? labelOf(name, schema)} hint={schema.description} {...{ fault, marks, isRequired, isBare }}>
      {isLong ? <textarea {...common} className="textarea" rows={3} /> : <input {...common} className="input" type={INPUT_TYPES[schema.format ?? ''] ?? 'text'} autoComplete="off" />}
    </Frame>
  )
}

export function SecretField(props: LeafProps) {
  const { part, name, path, value, isRequired, onChange, isBare } = props
  const { isDisabled } = useForm()
  const [isOpen, open] = useState(false)
  const { marks, fault } = useMarks(path, Boolean(part.schema.description), isRequired)
  const label = props.label ?? labelOf(name, part.schema)
  return (
    <Frame path={path} label={label} hint={part.schema.description} {...{ fault, marks, isRequired, isBare }}>
      <div className="field-row">
        <input
          {...marks} className="input" type={isOpen ? 'text' : 'password'} autoComplete="new-password" spellCheck={false}
          value={shown(value)} disabled={isDisabled}
          onChange={(event) => onChange(event.currentTarget.value || emptied(props))}
        />
        <button type="button" className="button" aria-pressed={isOpen} aria-label={`Show ${label}`} onClick={() => open(!isOpen)}>
          {isOpen ? 'Hide' : 'Show'}
        </button>
      </div>
    </Frame>
  )
}

/** A number keeps the digits that were typed; what is no number stays as it is, for the check to name. */
export function NumberField(props: LeafProps) {
  const { part, name, path, value, isRequired, onChange, isBare } = props
  const { isDisabled } = useForm()
  const { marks, fault } = useMarks(path, Boolean(part.schema.description), isRequired)
  const read = (text: string) => (JSON_NUMBER.test(text.trim()) ? numberOf(text.trim()) : text || emptied(props))
  return (
    <Frame path={path} label={props.label ?? labelOf(name, part.schema)} hint={part.schema.description} {...{ fault, marks, isRequired, isBare }}>
      <input
        {...marks} className="input field-number" type="text" inputMode={part.shape.kind === 'integer' ? 'numeric' : 'decimal'}
        autoComplete="off" value={shown(value)} disabled={isDisabled} placeholder={placeholderOf(part)}
        onChange={(event) => onChange(read(event.currentTarget.value))}
      />
    </Frame>
  )
}

export function ChoiceField(props: LeafProps & { options: Json[]; words?: string[] }) {
  const { part, name, path, value, isRequired, onChange, options, words, isBare } = props
  const { isDisabled } = useForm()
  const { marks, fault } = useMarks(path, Boolean(part.schema.description), isRequired)
  const unset = value === undefined || value === null
  const at = unset ? -1 : options.indexOf(value)
  const given = part.schema.default
  const none = given === undefined || given === null ? (isRequired && !part.nullable ? 'Choose…' : 'Not set') : `Default: ${wordOf(given, options, words)}`
  return (
    <Frame path={path} label={props.label ?? labelOf(name, part.schema)} hint={part.schema.description} {...{ fault, marks, isRequired, isBare }}>
      <select
        {...marks} className="input" value={at < 0 && !unset ? 'other' : String(at)} disabled={isDisabled}
        onChange={(event) => onChange(options[Number(event.currentTarget.value)] ?? emptied(props))}
      >
        <option value="-1">{none}</option>
        {at < 0 && !unset && <option value="other" disabled>{shown(value)}</option>}
        {options.map((option, i) => <option key={i} value={String(i)}>{words?.[i] ?? shown(option)}</option>)}
      </select>
    </Frame>
  )
}

const wordOf = (value: Json, options: Json[], words?: string[]) => words?.[options.indexOf(value)] ?? shown(value)

/** A box where the handler has a default; a choice where "not set" is a third answer. */
export function BooleanField(props: LeafProps) {
  const { part, name, path, value, isRequired, onChange } = props
  const { isDisabled } = useForm()
  const { marks, fault } = useMarks(path, Boolean(part.schema.description), false)
  const given = part.schema.default
  const isPlain = value === undefined || typeof value === 'boolean'
  if (part.nullable || !isPlain || (!isRequired && typeof given !== 'boolean')) {
    return <ChoiceField {...props} options={[true, false]} words={['Yes', 'No']} />
  }
  return (
    <div className="field" data-path={path}>
      <label className="field-check">
        <input
          {...marks} type="checkbox" disabled={isDisabled} checked={value === undefined ? given === true : value}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
        <bdi>{props.label ?? labelOf(name, part.schema)}</bdi>
      </label>
      {part.schema.description && <p className="field-hint" id={`${marks.id}-hint`}>{part.schema.description}</p>}
      {fault && <p className="field-fault" id={`${marks.id}-fault`}>{fault}</p>}
    </div>
  )
}

/** A value that can only be one: said, not asked. */
export function ConstantField(props: LeafProps) {
  const { part, name, path } = props
  const { marks, fault } = useMarks(path, false, false)
  return (
    <Frame path={path} label={props.label ?? labelOf(name, part.schema)} isRequired={false} {...{ fault, marks }}>
      <output className="muted mono" id={marks.id}>{part.shape.kind === 'constant' ? shown(part.shape.value) : 'null'}</output>
    </Frame>
  )
}
