import { useEffect, useRef } from 'react'
import { Refusal } from '../data/client'
import { Store, useStore } from '../lib/store'
import { visible } from '../lib/text'
import { Icon } from './icon'

interface Toast {
  id: number
  kind: 'done' | 'refused' | 'undo'
  text: string
  hint?: string | null | undefined
  button?: { label: string; press: () => void } | undefined
  milliseconds: number | null
}

const UNDO_MILLISECONDS = 5_000
const MOST = 4
const toasts = new Store<Toast[]>([])
const waiting = new Map<number, () => void>()
let lastId = 0

function add(toast: Omit<Toast, 'id'>): number {
  const id = ++lastId
  const kept = toasts.get()
  toasts.set([...kept.slice(kept.length >= MOST ? 1 : 0), { ...toast, id }])
  return id
}

export function dismiss(id: number): void {
  toasts.set(toasts.get().filter((toast) => toast.id !== id))
}

export function showDone(text: string, button?: Toast['button']): void {
  add({ kind: 'done', text, button, milliseconds: 4_000 })
}

/** Shows a refusal word for word, until it is dismissed. */
export function showRefusal(fault: unknown, retry?: () => void): void {
  const { text, hint } = wordsOf(fault)
  if (toasts.get().some((toast) => toast.kind === 'refused' && toast.text === text && !retry)) return
  const id = add({ kind: 'refused', text, hint, milliseconds: null, button: retry && { label: 'Retry', press: () => { dismiss(id); retry() } } })
}

/** Acts in five seconds, unless the person takes it back; at once when the page is left. */
export function actLater(text: string, act: () => void): void {
  const id = add({
    kind: 'undo', text, milliseconds: null,
    button: { label: 'Undo', press: () => { waiting.delete(id); dismiss(id) } },
  })
  waiting.set(id, act)
  setTimeout(() => run(id), UNDO_MILLISECONDS)
}

function run(id: number): void {
  const act = waiting.get(id)
  waiting.delete(id)
  dismiss(id)
  act?.()
}

addEventListener('pagehide', () => [...waiting.keys()].forEach(run))

export function wordsOf(fault: unknown): { text: string; hint: string | null } {
  if (fault instanceof Refusal) return { text: fault.message, hint: fault.hint ?? fault.details }
  return { text: fault instanceof Error ? fault.message : String(fault), hint: null }
}

export function Toasts() {
  const shown = useStore(toasts)
  const region = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = region.current // above a modal dialog too
    if (!element?.showPopover) return
    if (element.matches(':popover-open')) element.hidePopover()
    if (shown.length > 0) element.showPopover()
  }, [shown])
  return (
    <div className="toasts" role="region" aria-label="Notices" aria-live="polite" popover="manual" ref={region}>
      {shown.map((toast) => <OneToast key={toast.id} toast={toast} />)}
    </div>
  )
}

function OneToast({ toast }: { toast: Toast }) {
  useEffect(() => {
    if (toast.milliseconds === null) return
    const timer = setTimeout(() => dismiss(toast.id), toast.milliseconds)
    return () => clearTimeout(timer)
  }, [toast])
  return (
    <div className={`toast toast-${toast.kind}`} role={toast.kind === 'refused' ? 'alert' : 'status'}>
      <Icon name={toast.kind === 'refused' ? 'alert' : toast.kind === 'undo' ? 'clock' : 'check'} />
      <div className="toast-words">
        <p><bdi>{visible(toast.text)}</bdi></p>
        {toast.hint && <p className="muted"><bdi>{visible(toast.hint)}</bdi></p>}
      </div>
      {toast.button && <button type="button" className="button small" onClick={toast.button.press}>{toast.button.label}</button>}
      {toast.kind !== 'undo' && <button type="button" className="icon-button" aria-label="Dismiss" onClick={() => dismiss(toast.id)}><Icon name="close" /></button>}
    </div>
  )
}
