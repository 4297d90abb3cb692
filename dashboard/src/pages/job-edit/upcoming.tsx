import { type PreviewRequest, usePreview } from '../../data/preview'
import { hasZone, scheduleWords } from '../../lib/schedule'
import { useCronWords } from '../../lib/use-cron-words'
import { Text } from '../../ui/basics'
import { Time } from '../../ui/time'

interface UpcomingProps {
  request: PreviewRequest | null
  /** How many to show. */
  n: number
  /** How many runs `max_runs` leaves; null: no bound. */
  left: number | null
}

/** A schedule in words, and its next runs with notes where clocks change. */
export function Upcoming({ request, n, left }: UpcomingProps) {
  const state = usePreview(request, n)
  useCronWords(request?.trigger_type === 'cron')
  if (!request) return null
  const words = state.kind === 'shown' && !state.isOld ? state.preview.description : offlineWords(request)
  const runs = state.kind === 'shown' ? state.preview.runs.slice(0, left ?? n) : []
  return (
    <div className="upcoming" aria-live="polite">
      <p className="upcoming-words"><bdi>{words}</bdi></p>
      {state.kind === 'refused' && <p className="field-fault"><Text value={state.message} most={500} /></p>}
      {state.kind === 'none' && <p className="muted">The next runs are computed by a listener, and none can be asked from here.</p>}
      {state.kind === 'shown' && (
        <ol className="upcoming-runs" aria-busy={state.isOld}>
          {runs.map(({ at, local, note }) => (
            <li key={at}>
              <span className="number">{local}</span>
              <span className="muted"><Time at={at} zone={request.timezone} as="relative" /></span>
              {note && <span className="upcoming-note">{note}</span>}
            </li>
          ))}
          {runs.length === 0 && <li className="muted">No run: the schedule has come to its end.</li>}
        </ol>
      )}
    </div>
  )
}

const offlineWords = (request: PreviewRequest) =>
  `${scheduleWords(request)}${hasZone(request.trigger_type) ? `, ${request.timezone}` : ''}`
