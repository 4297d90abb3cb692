import { Dialog } from '../ui/dialog'
import { Keys, type Command } from '../ui/keys'

export function Help({ commands, onClose }: { commands: Command[]; onClose: () => void }) {
  const withKeys = commands.filter((command) => command.key)
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl className="key-list">
        {withKeys.map((command) => (
          <div key={`${command.key} ${command.title}`}>
            <dt>{command.title}</dt>
            <dd><Keys keys={command.key ?? ''} /></dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
