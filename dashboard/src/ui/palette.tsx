import { useMemo, useState, type KeyboardEvent } from 'react'
import { Line } from './basics'
import { Dialog } from './dialog'
import { Keys, type Command } from './keys'

const MOST = 40

/** Commands whose titles have all the words that are typed, those that begin with them first. */
export function matching(commands: Command[], typed: string): Command[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean)
  const found = commands.filter(({ title }) => words.every((word) => title.toLowerCase().includes(word)))
  const starts = (command: Command) => (words[0] && command.title.toLowerCase().startsWith(words[0]) ? 0 : 1)
  return found.sort((a, b) => starts(a) - starts(b))
}

export function Palette({ commands, onClose, useFound }: { commands: Command[]; onClose: () => void; useFound: (typed: string) => Command[] }) {
  const [typed, setTyped] = useState('')
  const [index, setIndex] = useState(0)
  const found = useFound(typed)
  const shown = useMemo(
    () => [...matching(commands.filter((one) => one.isListed !== false), typed).slice(0, MOST), ...found],
    [commands, typed, found],
  )
  const chosen = Math.min(index, shown.length - 1)

  const run = (command: Command | undefined) => {
    if (!command || command.why) return
    onClose()
    command.run()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step) {
      event.preventDefault()
      const next = (chosen + step + shown.length) % shown.length
      setIndex(next)
      document.getElementById(`command-${next}`)?.scrollIntoView({ block: 'nearest' })
    } else if (event.key === 'Enter') {
      event.preventDefault()
      run(shown[chosen])
    }
  }
  return (
    <Dialog title="Commands" onClose={onClose} className="palette">
      <input
        type="text" className="input" autoFocus placeholder="Type a command, or a job's name" value={typed}
        role="combobox" aria-expanded="true" aria-controls="commands" aria-activedescendant={shown.length ? `command-${chosen}` : undefined}
        aria-label="Command" autoComplete="off" spellCheck={false}
        onInput={(event) => { setTyped(event.currentTarget.value); setIndex(0) }} onKeyDown={onKeyDown}
      />
      <ul id="commands" role="listbox" aria-label="Commands">
        {shown.map((command, place) => (
          <li
            key={`${place} ${command.title}`} id={`command-${place}`} role="option" aria-selected={place === chosen}
            aria-disabled={Boolean(command.why)} onClick={() => run(command)} onMouseMove={() => setIndex(place)}
          >
            <Line value={command.title} />
            {command.why && <span className="muted">{command.why}</span>}
            {command.key && <Keys keys={command.key} />}
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p className="muted dialog-text">No command has these words.</p>}
    </Dialog>
  )
}
