import { useForm } from './context'

export function RemoveButton({ what, onClick }: { what: string; onClick: () => void }) {
  const { isDisabled } = useForm()
  return (
    <button
      type="button" className="button button-small button-quiet field-remove" disabled={isDisabled}
      aria-label={`Remove ${what}`} title="Remove" onClick={onClick}
    >
      ✕
    </button>
  )
}
