import type { ReactNode } from 'react'
import { useParameters } from '../lib/urls'
import { PageHead } from '../ui/basics'
import { Channels } from './alerts/channels'
import { Deliveries } from './alerts/deliveries'
import { Firing } from './alerts/firing'
import { Rules } from './alerts/rules'
import '../styles/alerts.css'

const TABS: Record<string, { title: string; show: () => ReactNode }> = {
  alerts: { title: 'Alerts', show: () => <Firing /> },
  rules: { title: 'Rules', show: () => <Rules /> },
  channels: { title: 'Channels', show: () => <Channels /> },
  deliveries: { title: 'Deliveries', show: () => <Deliveries /> },
}

export default function Alerts() {
  const [parameters, setParameters] = useParameters()
  const named = parameters.get('tab') ?? ''
  const chosen = named in TABS ? named : 'alerts'
  return (
    <>
      <PageHead title="Alerts" lead="Rules are looked at every ten seconds, beside the runs; no alert delays a job." />
      <div className="tabs" role="tablist" aria-label="Alerts">
        {Object.entries(TABS).map(([name, { title }]) => (
          <button
            key={name} type="button" role="tab" className="tab" id={`tab-${name}`} aria-selected={name === chosen} aria-controls="tab-panel"
            onClick={() => setParameters({ tab: name === 'alerts' ? null : name })}
          >
            {title}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="tab-panel" className="alerts" aria-labelledby={`tab-${chosen}`}>{TABS[chosen]?.show()}</div>
    </>
  )
}
