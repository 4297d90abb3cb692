import type { ReactNode } from 'react'
import { useForm } from './context'

export interface Marks {
  id: string
  'aria-describedby'?: string
  'aria-invalid'?: true
  'aria-required'?: true
}

/** The id of a field, and what ties it to its hint and its fault. */
export function useMarks(path: string, hasHint: boolean, isRequired: boolean): { marks: Marks; fault?: string } {
  const { id, faults, isShown } = useForm()
  const own = `${id}-${encodeURIComponent(path)}`
  const fault = isShown(path) ? faults.get(path) : undefined
  const describedBy = [hasHint && `${own}-hint`, fault && `${own}-fault`].filter(Boolean).join(' ')
  return {
    marks: {
      id: own,
      ...(describedBy && { 'aria-describedby': describedBy }),
      ...(fault && { 'aria-invalid': true as const }),
      ...(isRequired && { 'aria-required': true as const }),
    },
    ...(fault !== undefined && { fault }),
  }
}

interface FrameProps {
  path: string
  label: string
  hint?: string | undefined
  fault?: string | undefined
  marks: Marks
  isRequired: boolean
  isBare?: boolean | undefined
  isGroup?: boolean
  actions?: ReactNode
  children?: ReactNode
}

/** Label, control, hint and fault of a field; a group has a legend in place of the label. */
export function Frame({ path, label, hint, fault, marks, isRequired, isBare, isGroup, actions, children }: FrameProps) {
  const name = (
    <>
      <bdi>{label}</bdi>
      {isRequired && !isBare && <span className="field-required"> required</span>}
    </>
  )
  const notes = (
    <>
      {hint && <p className="field-hint" id={`${marks.id}-hint`}>{hint}</p>}
      {fault && <p className="field-fault" id={`${marks.id}-fault`}>{fault}</p>}
    </>
  )
  const className = isBare ? 'field-name visually-hidden' : 'field-name'
  if (!isGroup) {
    return (
      <div className="field" data-path={path}>
        <label className={className} htmlFor={marks.id}>{name}</label>
        {children}
        {notes}
      </div>
    )
  }
  return (
    <fieldset className="field field-group" data-path={path} id={marks.id} tabIndex={-1} aria-describedby={marks['aria-describedby']}>
      <legend className={className}>{name}</legend>
      {actions && <div className="field-actions">{actions}</div>}
      {notes}
      {children}
    </fieldset>
  )
}
