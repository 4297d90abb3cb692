import { Empty, PageHead } from '../ui/basics'

export default function Alerts() {
  return (
    <>
      <PageHead title="Alerts" />
      <Empty icon="alerts" title="No alerts yet">
        <p className="muted">Rules that tell you when jobs fail, run late or stay away come with a later version.</p>
      </Empty>
    </>
  )
}
