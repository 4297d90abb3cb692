import type { ReactNode } from 'react'
import { shown } from '../../form/json'
import { Text } from '../../ui/basics'
import { useEditing } from './context'
import { DEFAULTS, type TextColumn } from './draft'

interface LabeledProps {
  /** The column, at which a refusal that names it is shown. */
  column: string
  label: string
  hint?: ReactNode
  fault?: string | undefined
  children: (marks: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: true }) => ReactNode
}

/** A field of the editor: label, control, hint, and what the database refused. */
export function Labeled({ column, label, hint, fault, children }: LabeledProps) {
  const { refusal } = useEditing()
  const id = `job-${column}`
  const refused = refusal?.column === column && refusal.path === '' ? refusal.message : undefined
  const shownFault = fault ?? refused
  const describedBy = [hint && `${id}-hint`, shownFault && `${id}-fault`].filter(Boolean).join(' ')
  return (
    <div className="field">
      <label className="field-name" htmlFor={id}>{label}</label>
      {children({ id, ...(describedBy && { 'aria-describedby': describedBy }), ...(shownFault && { 'aria-invalid': true }) })}
      {hint && <p className="field-hint" id={`${id}-hint`}>{hint}</p>}
      {shownFault && <p className="field-fault" id={`${id}-fault`}><Text value={shownFault} most={1000} /></p>}
    </div>
  )
}

interface ColumnProps {
  column: TextColumn
  label: string
  hint?: ReactNode
  unit?: string
  isLong?: boolean
  isNumber?: boolean
  isDisabled?: boolean
  placeholder?: string
}

export function ColumnField({ column, label, hint, unit, isLong, isNumber, isDisabled, placeholder }: ColumnProps) {
  const { draft, setText } = useEditing()
  const value = draft.texts[column]
  const common = {
    value, disabled: isDisabled, placeholder: placeholder ?? shown(DEFAULTS[column]), autoComplete: 'off',
    onChange: (event: { currentTarget: { value: string } }) => setText(column, event.currentTarget.value),
  }
  return (
    <Labeled column={column} label={label} hint={hint}>
      {(marks) => {
        if (isLong) return <textarea {...marks} {...common} className="textarea" rows={2} />
        const input = <input {...marks} {...common} className="input" inputMode={isNumber ? 'decimal' : 'text'} spellCheck={false} />
        return unit ? <div className="field-row">{input}<span className="muted">{unit}</span></div> : input
      }}
    </Labeled>
  )
}

interface ChoiceProps {
  column: TextColumn
  label: string
  hint?: ReactNode
  options: Record<string, string>
}

export function ColumnChoice({ column, label, hint, options }: ChoiceProps) {
  const { draft, setText } = useEditing()
  const value = draft.texts[column] || String(DEFAULTS[column])
  return (
    <Labeled column={column} label={label} hint={hint}>
      {(marks) => (
        <select {...marks} className="input" value={value} onChange={(event) => setText(column, event.currentTarget.value)}>
          {Object.entries(options).map(([option, words]) => <option key={option} value={option}>{words}</option>)}
          {!(value in options) && <option value={value}>{value}</option>}
        </select>
      )}
    </Labeled>
  )
}
