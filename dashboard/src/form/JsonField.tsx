import { useState } from 'react'
import { type FieldProps, useForm } from './context'
import type { LeafProps } from './fields'
import { Frame, useMarks } from './Frame'
import { type Json, isSame, readJson, writeJson } from './json'
import { labelOf } from './schema'

/** JSON as text: exact numbers, and the line of what is wrong. `write` returns the fault of a text. */
export function useJsonText(value: Json | undefined, onValue: (value: Json | undefined) => void) {
  const [text, setText] = useState(() => textOf(value))
  const [read, setRead] = useState<{ value: Json | undefined; fault?: string }>({ value })
  if (read.fault === undefined && !isSame(read.value, value)) {
    setRead({ value }) // changed elsewhere
    setText(textOf(value))
  }
  const write = (next: string): string | undefined => {
    setText(next)
    try {
      const parsed = next.trim() === '' ? undefined : readJson(next)
      setRead({ value: parsed })
      onValue(parsed)
      return undefined
    } catch (error) {
      const fault = (error as Error).message
      setRead({ value: read.value, fault })
      return fault
    }
  }
  return { text, write, fault: read.fault }
}

const textOf = (value: Json | undefined) => (value === undefined ? '' : writeJson(value))

/** What the form cannot render: its JSON. */
export function JsonField({ part, name, path, value, isRequired, onChange, ...beside }: LeafProps | (FieldProps & Pick<LeafProps, 'part'>)) {
  const { isDisabled, noteBroken } = useForm()
  const { text, write, fault: broken } = useJsonText(value, onChange)
  const hint = [part.schema.description, 'JSON'].filter(Boolean).join(' · ')
  const { marks, fault } = useMarks(path, true, isRequired)
  const shownFault = broken ?? fault
  return (
    <Frame
      path={path} label={beside.label ?? labelOf(name, part.schema)} hint={hint} fault={shownFault} isRequired={isRequired}
      marks={broken ? { ...marks, 'aria-invalid': true, 'aria-describedby': `${marks.id}-hint ${marks.id}-fault` } : marks}
      isBare={beside.isBare}
    >
      <textarea
        {...marks} className="textarea field-json" rows={Math.min(Math.max(text.split('\n').length, 2), 12)} spellCheck={false}
        value={text} disabled={isDisabled} placeholder={part.schema.default === undefined ? '' : writeJson(part.schema.default, 0)}
        {...(broken && { 'aria-invalid': true, 'aria-describedby': `${marks.id}-hint ${marks.id}-fault` })}
        onChange={(event) => noteBroken(path, write(event.currentTarget.value))}
      />
    </Frame>
  )
}
