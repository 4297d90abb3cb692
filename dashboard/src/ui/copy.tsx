import { useEffect, useState } from 'react'
import { pretty } from '../lib/exact'
import { Text } from './basics'
import { Icon } from './icon'

/** Copies over plain HTTP too, where the browser gives no clipboard. Returns whether it could. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const area = document.createElement('textarea')
    area.value = text
    area.className = 'visually-hidden'
    const place = document.activeElement?.closest('dialog') ?? document.body // the rest is inert behind a dialog
    place.append(area)
    area.select()
    const isCopied = document.execCommand('copy')
    area.remove()
    return isCopied
  }
}

export function CopyButton({ text, label = 'Copy' }: { text: string | (() => string); label?: string }) {
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle')
  useEffect(() => {
    if (state === 'idle') return
    const timer = setTimeout(() => setState('idle'), 1_500)
    return () => clearTimeout(timer)
  }, [state])
  const words = { idle: label, copied: 'Copied', failed: 'Select and copy by hand' }[state]
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={words}
      title={words}
      onClick={(event) => {
        event.stopPropagation()
        void copy(typeof text === 'string' ? text : text()).then((isCopied) => setState(isCopied ? 'copied' : 'failed'))
      }}
    >
      <Icon name={state === 'copied' ? 'check' : state === 'failed' ? 'alert' : 'copy'} size={14} />
      <span className="visually-hidden" aria-live="polite">{state === 'idle' ? '' : words}</span>
    </button>
  )
}

/** Text to read and copy: code, JSON, an error. */
export function Code({ text, label, most = 20_000 }: { text: string; label: string; most?: number }) {
  return (
    <figure className="code">
      <figcaption>
        <span>{label}</span>
        <CopyButton text={text} label={`Copy ${label}`} />
      </figcaption>
      <pre tabIndex={0} role="region" aria-label={label}>
        <Text value={text} most={most} />
      </pre>
    </figure>
  )
}

/** JSON, from its text, with its numbers as they are. */
export function JsonView({ text, label }: { text: string; label: string }) {
  return <Code text={pretty(text)} label={label} />
}
