import { useMemo, useState, type KeyboardEvent } from 'react'
import { allZones, isZone, localOf } from '../../lib/zoned'
import { Labeled } from './column-field'
import { useEditing } from './context'

const MOST = 8

/** The zones that have all the words, those that begin with them first. */
export function zonesLike(zones: string[], typed: string): string[] {
  const words = typed.toLowerCase().split(/[\s/_]+/).filter(Boolean)
  const found = zones.filter((zone) => words.every((word) => zone.toLowerCase().includes(word)))
  const rank = (zone: string) => (zone.toLowerCase().split('/').some((part) => part.startsWith(words[0] ?? '')) ? 0 : 1)
  return found.sort((a, b) => rank(a) - rank(b)).slice(0, MOST)
}

export function ZoneField() {
  const { draft, set } = useEditing()
  const [typed, setTyped] = useState<string | null>(null)
  const [place, setPlace] = useState(0)
  const zones = useMemo(allZones, [])
  const found = typed === null ? [] : zonesLike(zones, typed)
  const isOpen = typed !== null && found.length > 0
  const choose = (zone: string | undefined) => {
    if (zone) set({ timezone: zone })
    setTyped(null)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step && !isOpen) setTyped('')
    else if (step) setPlace((place + step + found.length) % found.length)
    else if (event.key === 'Enter' && isOpen) choose(found[place])
    else if (event.key === 'Escape' && isOpen) setTyped(null)
    else return
    event.preventDefault()
  }
  const isKnown = isZone(draft.timezone)
  return (
    <Labeled
      column="timezone" label="Time zone" fault={isKnown ? undefined : 'This browser knows no such zone; the database decides'}
      hint={isKnown && <>It is {localOf(new Date(), draft.timezone).slice(11, 16)} there now</>}
    >
      {(marks) => (
        <div className="zone">
          <input
            {...marks} className="input" role="combobox" aria-expanded={isOpen} aria-controls="zones" aria-autocomplete="list"
            aria-activedescendant={isOpen ? `zone-${place}` : undefined} autoComplete="off" spellCheck={false} value={typed ?? draft.timezone}
            onFocus={(event) => event.currentTarget.select()} onKeyDown={onKeyDown}
            onChange={(event) => { setTyped(event.currentTarget.value); setPlace(0) }}
            onBlur={() => { if (typed !== null) choose(zones.find((zone) => zone.toLowerCase() === typed.trim().toLowerCase()) ?? (typed.trim() || undefined)) }}
          />
          {isOpen && (
            <ul id="zones" role="listbox" aria-label="Time zones" className="zone-list">
              {found.map((zone, at) => (
                <li
                  key={zone} id={`zone-${at}`} role="option" aria-selected={at === place} onPointerDown={(event) => event.preventDefault()}
                  onClick={() => choose(zone)}
                >
                  <span>{zone}</span><span className="muted number">{localOf(new Date(), zone).slice(11, 16)}</span>
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
    </Labeled>
  )
}
