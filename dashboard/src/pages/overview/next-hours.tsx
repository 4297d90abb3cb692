import { count } from '../../lib/format'
import { clockTime, useZone } from '../../lib/time'
import { Panel } from '../../ui/basics'
import { Bars } from '../../ui/bars'
import { peaks, SLOT_MILLISECONDS } from './peaks'

/** How many jobs are due in each ten minutes of the next six hours; where they crowd, the strip says so. */
export function NextHours({ counts, now, isPartial }: { counts: number[]; now: number; isPartial: boolean }) {
  const zone = useZone()
  const crowded = peaks(counts)
  const startOf = (place: number) => now + place * SLOT_MILLISECONDS
  const bars = counts.map((jobs, place) => ({
    label: `${clockTime(startOf(place), zone)}–${clockTime(startOf(place + 1), zone)}`,
    parts: [{ tone: crowded.includes(place) ? 'warn' : 'busy', name: jobs === 1 ? 'job' : 'jobs', value: jobs }],
  }))
  const marks = counts.flatMap((_, place) => (place % 6 === 0 ? [{ at: place, text: clockTime(startOf(place), zone) }] : []))
  const worst = crowded.reduce<number | null>((best, place) => (best === null || (counts[place] ?? 0) > (counts[best] ?? 0) ? place : best), null)
  return (
    <Panel title="Next six hours" className="half" acts={<span className="muted">{count(counts.reduce((sum, jobs) => sum + jobs, 0))}{isPartial && '+'} due</span>}>
      <div className="panel-body">
        <Bars bars={bars} marks={marks} label="Jobs due, by ten minutes" />
        <p className={`crowd ${worst === null ? 'muted' : 'warn'}`}>
          {worst === null
            ? 'No crowd: the jobs are spread out.'
            : `${count(counts[worst] ?? 0)} jobs are due between ${clockTime(startOf(worst), zone)} and ${clockTime(startOf(worst + 1), zone)}. Spread them, if they compete.`}
        </p>
      </div>
    </Panel>
  )
}
