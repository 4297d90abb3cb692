import { useEffect, useId, useLayoutEffect, useRef } from 'react'
import { Store, useStore } from '../lib/store'

/** What a key, or the palette, does on the page that is shown. */
export interface Command {
  title: string
  /** One key, as `KeyboardEvent.key` names it, or two in a row: "g j". */
  key?: string
  run: () => void
  /** Why it is not possible now. */
  why?: string | undefined
  /** Listed in the palette; true unless said. */
  isListed?: boolean
}

const layers = new Store<{ id: string; commands: () => Command[] }[]>([])

/** Gives the page commands while the component is shown. The newest layer comes first. */
export function useCommands(commands: Command[]): void {
  const id = useId()
  const latest = useRef(commands)
  latest.current = commands
  useLayoutEffect(() => { // not after the next painting: what is seen can be used
    layers.set([{ id, commands: () => latest.current }, ...layers.get()])
    return () => layers.set(layers.get().filter((layer) => layer.id !== id))
  }, [id])
}

export function useAllCommands(): Command[] {
  return useStore(layers).flatMap((layer) => layer.commands())
}

const SECOND_KEY_MILLISECONDS = 1_200
let prefix: { key: string; at: number } | null = null

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches('input, textarea, select'))
}

/** Hears the keys of all layers; once, in the shell. */
export function useKeyboard(): void {
  useEffect(() => {
    const hear = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.altKey || event.isComposing) return
      const hasModifier = event.ctrlKey || event.metaKey
      const name = hasModifier ? `mod ${event.key.toLowerCase()}` : event.key
      if (!hasModifier && (isTyping(event.target) || document.querySelector('dialog[open]'))) return
      const control = event.target instanceof HTMLElement && event.target.closest('button, a, summary')
      if (control && (event.key === 'Enter' || event.key === ' ')) return
      const all = layers.get().flatMap((layer) => layer.commands())
      const pair = prefix && Date.now() - prefix.at < SECOND_KEY_MILLISECONDS ? `${prefix.key} ${name}` : null
      prefix = null
      const command = all.find((one) => one.key === pair) ?? all.find((one) => one.key === name)
      if (command) {
        event.preventDefault()
        if (!command.why) command.run()
      } else if (all.some((one) => one.key?.startsWith(`${name} `))) {
        prefix = { key: name, at: Date.now() }
      }
    }
    addEventListener('keydown', hear)
    return () => removeEventListener('keydown', hear)
  }, [])
}

const IS_MAC = /Mac|iP(hone|ad)/.test(navigator.platform)

export function Keys({ keys }: { keys: string }) {
  const words = keys.split(' ').map((key) => (key === 'mod' ? (IS_MAC ? '⌘' : 'Ctrl') : key.length === 1 && keys.startsWith('mod') ? key.toUpperCase() : key))
  return <span className="keys">{words.map((word, index) => <kbd key={index}>{word}</kbd>)}</span>
}
