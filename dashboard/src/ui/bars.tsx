import { plural } from '../lib/format'

export interface Bar {
  label: string
  /** Parts from the bottom up, each with the tone of its class. */
  parts: { tone: string; value: number; name: string }[]
}

/** Bars of stacked parts. Each has its figures on hover, and all are in a table for who does not see them. */
export function Bars({ bars, label, height = 120, marks = [] }: { bars: Bar[]; label: string; height?: number; marks?: { at: number; text: string }[] }) {
  const most = Math.max(1, ...bars.map((bar) => bar.parts.reduce((sum, part) => sum + part.value, 0)))
  const step = 100 / Math.max(1, bars.length)
  return (
    <figure className="bars">
      <svg viewBox={`0 0 100 ${height}`} preserveAspectRatio="none" style={{ height }} role="img" aria-label={`${label}: ${summary(bars)}`}>
        {bars.map((bar, place) => {
          let top = height
          return (
            <g key={place} className="bar">
              <title>{`${bar.label}: ${wordsOf(bar)}`}</title>
              <rect className="bar-room" x={place * step} y={0} width={step} height={height} />
              {bar.parts.map((part) => {
                if (part.value === 0) return null
                const size = Math.max(2, (part.value / most) * (height - 4))
                top -= size
                return <rect key={part.name} className={`fill-${part.tone}`} x={place * step + step * 0.12} y={top} width={step * 0.76} height={size} />
              })}
              {bar.parts.every((part) => part.value === 0) && <rect className="fill-none" x={place * step + step * 0.12} y={height - 1.5} width={step * 0.76} height={1.5} />}
            </g>
          )
        })}
      </svg>
      {marks.length > 0 && (
        <div className="bar-marks" aria-hidden="true">
          {marks.map((mark) => <span key={mark.at} style={{ left: `${mark.at * step}%` }}>{mark.text}</span>)}
        </div>
      )}
    </figure>
  )
}

function wordsOf(bar: Bar): string {
  const parts = bar.parts.filter((part) => part.value > 0)
  return parts.map((part) => `${part.value.toLocaleString('en')} ${part.name}`).join(', ') || 'none'
}

function summary(bars: Bar[]): string {
  const sums = new Map<string, number>()
  for (const bar of bars) for (const part of bar.parts) sums.set(part.name, (sums.get(part.name) ?? 0) + part.value)
  return [...sums].map(([name, value]) => `${value.toLocaleString('en')} ${name}`).join(', ')
}

const HEIGHTS: Record<string, number> = { completed: 10, failed: 16, running: 7, queued: 5, cancelled: 8, skipped: 4 }

/** The last outcomes of a job as small bars, the newest last; a failure is also the tallest, for who sees no colours. */
export function Outcomes({ outcomes }: { outcomes: string[] }) {
  if (outcomes.length === 0) return <span className="muted">–</span>
  const failed = outcomes.filter((outcome) => outcome === 'failed').length
  const label = `last ${plural(outcomes.length, 'run')}: ${failed ? `${failed} failed` : 'none failed'}`
  return (
    <svg className="outcomes" width={30 * 4} height={16} viewBox={`0 0 ${30 * 4} 16`} role="img" aria-label={label}>
      <title>{label}</title>
      {outcomes.map((outcome, place) => {
        const size = HEIGHTS[outcome] ?? 6
        return <rect key={place} className={`fill-${outcome}`} x={(30 - outcomes.length + place) * 4} y={16 - size} width={3} height={size} rx={0.5} />
      })}
    </svg>
  )
}

export function Spark({ values, label }: { values: number[]; label: string }) {
  const most = Math.max(1, ...values)
  return (
    <svg className="spark" width={values.length * 4} height={18} viewBox={`0 0 ${values.length * 4} 18`} role="img" aria-label={label}>
      <title>{label}</title>
      {values.map((value, place) => {
        const size = value === 0 ? 1 : Math.max(2, (value / most) * 18)
        return <rect key={place} className={value === 0 ? 'fill-none' : 'fill-failed'} x={place * 4} y={18 - size} width={3} height={size} />
      })}
    </svg>
  )
}
