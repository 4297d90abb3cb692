import { config } from '../../data/client'

/** What mail takes, before somebody waits for one that no listener can send. */
export function MailNote() {
  if (config.sendsMail === false) {
    return <p className="warn">The listener sends no mail: its operator has to set <code>LISTENER_SMTP_URL</code> first.</p>
  }
  if (config.sendsMail) return null
  return <p className="muted">Mail takes <code>LISTENER_SMTP_URL</code>, which the listener&#39;s operator sets.</p>
}
