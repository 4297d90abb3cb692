import { Link } from 'wouter'
import { Icon } from '../../ui/icon'
import { Time } from '../../ui/time'

export function NoListener({ lastHeartbeat }: { lastHeartbeat: string | null }) {
  return (
    <div className="note note-bad" role="alert">
      <Icon name="alert" />
      <p className="note-words">
        <strong>No listener is alive: no job starts until one is.</strong>{' '}
        {lastHeartbeat ? <>The last heartbeat was <Time at={lastHeartbeat} as="relative" />.</> : 'There never was one.'}
      </p>
      <Link href="/listeners" className="button small">How to start one</Link>
    </div>
  )
}
