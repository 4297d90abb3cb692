import { Icon } from '../ui/icon'
import { useForm } from './context'

export function RemoveButton({ what, onClick }: { what: string; onClick: () => void }) {
  const { isDisabled } = useForm()
  return (
    <button
      type="button" className="icon-button field-remove" disabled={isDisabled}
      aria-label={`Remove ${what}`} title="Remove" onClick={onClick}
    >
      <Icon name="close" size={14} />
    </button>
  )
}
