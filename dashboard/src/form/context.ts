import { createContext, useContext } from 'react'
import type { Faults } from './check'
import type { Json } from './json'
import type { Schema } from './schema'

export interface FormState {
  root: Schema
  /** Begins the ids of the fields. */
  id: string
  faults: Faults
  isDisabled: boolean
  /** Whether the fault at a path may be shown: somebody was there, or tried to save. */
  isShown: (path: string) => boolean
  /** Says that the text at a path is no JSON, or is again. */
  noteBroken: (path: string, fault: string | undefined) => void
}

export const FormContext = createContext<FormState | null>(null)

export function useForm(): FormState {
  const state = useContext(FormContext)
  if (!state) throw new Error('A field stands outside of its form')
  return state
}

/** What every field takes. */
export interface FieldProps {
  name: string
  path: string
  schema: Schema | undefined
  value: Json | undefined
  isRequired: boolean
  onChange: (value: Json | undefined) => void
  /** In place of the label that the schema gives. */
  label?: string
  /** Whether the label is for screen readers only, as in a list. */
  isBare?: boolean
}
