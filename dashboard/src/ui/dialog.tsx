import { useEffect, useId, useRef, type ReactNode } from 'react'
import { Button } from './basics'
import { Icon } from './icon'

interface DialogProps {
  title: string
  children: ReactNode
  onClose: () => void
  /** Escape and the button close it. */
  closable?: boolean
  className?: string
}

export function Dialog({ title, children, onClose, closable = true, className = '' }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    element.current?.showModal()
  }, [])
  return (
    <dialog
      ref={element}
      className={`dialog ${className}`}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        if (closable) onClose()
      }}
      onClick={(event) => closable && event.target === element.current && onClose()}
    >
      <div className="dialog-body">
        <div className="dialog-head">
          <h2 id={heading}>{title}</h2>
          {closable && <button type="button" className="icon-button" aria-label="Close" onClick={onClose}><Icon name="close" /></button>}
        </div>
        {children}
      </div>
    </dialog>
  )
}

interface ConfirmProps {
  title: string
  children: ReactNode
  confirm: string
  isDanger?: boolean
  isBusy?: boolean
  onConfirm: () => void
  onClose: () => void
}

export function Confirm({ title, children, confirm, isDanger = false, isBusy = false, onConfirm, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="dialog-text">{children}</div>
      <div className="dialog-acts">
        <Button onClick={onClose}>Go back</Button>
        <Button kind={isDanger ? 'danger' : 'primary'} isBusy={isBusy} onClick={onConfirm}>{confirm}</Button>
      </div>
    </Dialog>
  )
}
