import { Link } from 'wouter'
import { plural } from '../../lib/format'
import { Line, Text } from '../../ui/basics'
import { Icon } from '../../ui/icon'
import { Time } from '../../ui/time'
import { useCauses } from '../alerts/causes'
import { useTenantRows, type AlertRow } from '../alerts/data'

const MOST = 3

const nameOf = (alert: AlertRow, names: ReadonlyMap<number, string | null>) => {
  const name = names.get(alert.scheduled_job_id ?? 0) ?? alert.handler
  return name && <><Text value={name} most={60} /> · </>
}

/** The alerts that fire and that nobody has acknowledged. */
export function FiringAlerts() {
  const { data } = useTenantRows<AlertRow>('job_alerts', 'last_at', 20, 5_000, 'firing')
  const { names } = useCauses(data ?? [])
  if (!data?.length) return null
  return (
    <section className="note note-bad firing" aria-label="Firing alerts">
      <Icon name="alerts" />
      <ul className="note-words">
        {data.slice(0, MOST).map((alert) => (
          <li key={alert.id}><Line value={alert.message} /> <span className="muted">{nameOf(alert, names)}<Time at={alert.last_at} as="relative" /></span></li>
        ))}
      </ul>
      <Link href="/alerts">{data.length > MOST ? `All ${plural(data.length, 'alert')}` : 'Alerts'}</Link>
    </section>
  )
}
