import type { ReactNode } from 'react'
import { useParameters } from '../lib/urls'

/** Tabs whose choice is in the address; the first where it names none. */
export function Tabs({ label, tabs, className = '', panelClass = '', show }: {
  label: string
  tabs: Record<string, { title: string }>
  className?: string
  panelClass?: string
  show: (name: string) => ReactNode
}) {
  const [parameters, setParameters] = useParameters()
  const [first = ''] = Object.keys(tabs)
  const named = parameters.get('tab') ?? ''
  const chosen = named in tabs ? named : first
  return (
    <>
      <div className={`tabs ${className}`} role="tablist" aria-label={label}>
        {Object.entries(tabs).map(([name, { title }]) => (
          <button
            key={name} type="button" role="tab" className="tab" id={`tab-${name}`} aria-selected={name === chosen} aria-controls="tab-panel"
            onClick={() => setParameters({ tab: name === first ? null : name })}
          >
            {title}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="tab-panel" className={panelClass} aria-labelledby={`tab-${chosen}`}>{show(chosen)}</div>
    </>
  )
}
