import type { HourOfOutcomes } from '../../data/types'
import { count } from '../../lib/format'
import { clockTime, dayOf, useZone } from '../../lib/time'
import { Panel } from '../../ui/basics'
import { Bars } from '../../ui/bars'

const PARTS = [
  ['completed', 'completed'], ['failed', 'failed'], ['retried', 'retried'], ['cancelled', 'cancelled'], ['skipped', 'skipped'],
] as const

/** The present hour is the last bar. */
export function OutcomesOfTheDay({ outcomes }: { outcomes: HourOfOutcomes[] }) {
  const zone = useZone()
  const bars = outcomes.map((one) => {
    const at = Date.parse(one.hour)
    return {
      label: `${dayOf(at, zone)} ${clockTime(at, zone)}–${clockTime(at + 3_600_000, zone)}`,
      parts: PARTS.map(([key, tone]) => ({ tone, name: key, value: one[key] })),
    }
  })
  const marks = outcomes.flatMap((one, place) => (place % 6 === 0 ? [{ at: place, text: clockTime(Date.parse(one.hour), zone) }] : []))
  const sums = PARTS.map(([key]) => [key, outcomes.reduce((sum, one) => sum + one[key], 0)] as const)
  return (
    <Panel title="Last 24 hours" className="half" acts={<Legend sums={sums} />}>
      <div className="panel-body"><Bars bars={bars} marks={marks} label="Runs that ended, by hour" /></div>
    </Panel>
  )
}

function Legend({ sums }: { sums: readonly (readonly [string, number])[] }) {
  return (
    <ul className="legend">
      {sums.filter(([key, sum]) => sum > 0 || key === 'completed').map(([key, sum]) => (
        <li key={key}><span className={`swatch swatch-${key}`} />{count(sum)} {key}</li>
      ))}
    </ul>
  )
}
