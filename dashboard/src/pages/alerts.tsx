import type { ReactNode } from 'react'
import { PageHead } from '../ui/basics'
import { Tabs } from '../ui/tabs'
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
  return (
    <>
      <PageHead title="Alerts" lead="Rules are looked at every ten seconds, beside the runs; no alert delays a job." />
      <Tabs label="Alerts" tabs={TABS} panelClass="alerts" show={(name) => TABS[name]?.show()} />
    </>
  )
}
