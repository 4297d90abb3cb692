import { useEffect, useRef, useState } from 'react'
import { visible } from '../lib/text'
import { Icon } from './icon'

interface FacetProps {
  label: string
  options: readonly (string | { value: string; label: string })[]
  chosen: string[]
  onChange: (chosen: string[]) => void
}

/** One facet of a filter: a button that shows what is chosen, and the choices behind it. */
export function Facet({ label, options, chosen, onChange }: FacetProps) {
  const element = useRef<HTMLDetailsElement>(null)
  useEffect(() => {
    const close = (event: Event) => {
      const details = element.current
      if (!details?.open) return
      if (event instanceof KeyboardEvent ? event.key === 'Escape' : !details.contains(event.target as Node)) details.open = false
    }
    document.addEventListener('pointerdown', close)
    document.addEventListener('keydown', close)
    return () => {
      document.removeEventListener('pointerdown', close)
      document.removeEventListener('keydown', close)
    }
  }, [])
  const known = options.map((option) => (typeof option === 'string' ? { value: option, label: option } : option))
  const labelOf = (value: string) => known.find((option) => option.value === value)?.label ?? value
  return (
    <details className="facet" ref={element} data-active={chosen.length > 0 || undefined}>
      <summary className="button small">
        {label}
        {chosen.length > 0 && <bdi className="facet-chosen">{visible(chosen.length === 1 ? labelOf(chosen[0] ?? '') : String(chosen.length))}</bdi>}
        <Icon name="down" size={12} />
      </summary>
      <div className="facet-menu">
        {known.map((option) => (
          <label key={option.value} className="facet-option">
            <input
              type="checkbox" checked={chosen.includes(option.value)}
              onChange={(event) => onChange(event.currentTarget.checked ? [...chosen, option.value] : chosen.filter((one) => one !== option.value))}
            />
            <bdi>{visible(option.label)}</bdi>
          </label>
        ))}
        {known.length === 0 && <p className="muted">Nothing to choose</p>}
        {chosen.length > 0 && <button type="button" className="link" onClick={() => onChange([])}>Clear</button>}
      </div>
    </details>
  )
}

/** A search field that reports what is typed after a moment; `/` goes to it. */
export function SearchField({ value, onChange, label }: { value: string; onChange: (value: string) => void; label: string }) {
  const [typed, setTyped] = useState(value)
  const reported = useRef(value)
  useEffect(() => {
    if (value !== reported.current) setTyped(value)
    reported.current = value
  }, [value])
  useEffect(() => {
    if (typed === reported.current) return
    const timer = setTimeout(() => {
      reported.current = typed
      onChange(typed)
    }, 250)
    return () => clearTimeout(timer)
  }, [typed])
  return (
    <div className="search">
      <Icon name="search" size={14} />
      <input
        type="search" className="input" data-search placeholder={label} aria-label={label} value={typed} autoComplete="off" spellCheck={false}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={(event) => event.key === 'Escape' && (typed ? setTyped('') : event.currentTarget.blur())}
      />
    </div>
  )
}
