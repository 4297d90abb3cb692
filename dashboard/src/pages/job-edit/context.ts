import { createContext, useContext } from 'react'
import type { Draft, TextColumn } from './draft'
import type { Placed } from './refusals'

export interface Editing {
  draft: Draft
  set: (parts: Partial<Draft>) => void
  setText: (column: TextColumn, text: string) => void
  isNew: boolean
  /** What the database said last, until it is asked again. */
  refusal: Placed | null
}

export const EditingContext = createContext<Editing | null>(null)

export function useEditing(): Editing {
  const editing = useContext(EditingContext)
  if (!editing) throw new Error('A field stands outside of the editor')
  return editing
}
