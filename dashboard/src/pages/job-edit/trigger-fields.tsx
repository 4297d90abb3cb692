import type { TriggerType } from '../../data/types'
import { hasZone, ordinal, TRIGGERS, WEEKDAYS } from '../../lib/schedule'
import { Labeled } from './column-field'
import { useEditing } from './context'
import { type Draft, localText, type Moment, type Unit } from './draft'
import { ZoneField } from './zone-field'

const TITLES: Record<TriggerType, string> = {
  once: 'Once', interval: 'Interval', daily: 'Daily', weekly: 'Weekly', monthly: 'Monthly', cron: 'Cron',
}

/** When the job runs: the kind of trigger, and what it takes. */
export function TriggerFields() {
  const { draft, set, refusal } = useEditing()
  return (
    <div className="fields">
      <div className="tabs" role="radiogroup" aria-label="Trigger">
        {TRIGGERS.map((trigger) => (
          <label key={trigger} className="tab" data-on={draft.trigger === trigger || undefined}>
            <input type="radio" name="trigger" className="visually-hidden" value={trigger} checked={draft.trigger === trigger} onChange={() => set({ trigger })} />
            {TITLES[trigger]}
          </label>
        ))}
      </div>
      <OfTrigger />
      {(hasZone(draft.trigger) || draft.trigger === 'once') && <ZoneField />}
      {refusal?.column === 'trigger_type' && <p className="field-fault">{refusal.message}</p>}
    </div>
  )
}

function OfTrigger() {
  const { draft } = useEditing()
  switch (draft.trigger) {
    case 'once':
      return <MomentField column="run_date" name="runDate" label="At" hint="Empty: now" />
    case 'interval':
      return <Interval />
    case 'daily':
      return <TimeOfDay column="schedule" />
    case 'weekly':
      return <><Weekdays /><TimeOfDay column="time" /></>
    case 'monthly':
      return <><Monthdays /><TimeOfDay column="time" /></>
    case 'cron':
      return <Cron />
  }
}

interface MomentProps {
  column: 'run_date' | 'ends_at'
  name: 'runDate' | 'endsAt'
  label: string
  hint?: string
}

/** An instant, entered as local time of the job's zone. */
export function MomentField({ column, name, label, hint }: MomentProps) {
  const { draft, set } = useEditing()
  const zone = shownZone(draft)
  return (
    <Labeled column={column} label={label} hint={[hint, `in ${zone}`].filter(Boolean).join(' · ')}>
      {(marks) => (
        <input
          {...marks} className="input" type="datetime-local" step="1" value={safeLocal(draft[name], zone)}
          onChange={(event) => set({ [name]: event.currentTarget.value === '' ? null : { local: event.currentTarget.value } })}
        />
      )}
    </Labeled>
  )
}

const shownZone = (draft: Draft) => draft.timezone || 'UTC'

function safeLocal(moment: Moment, zone: string): string {
  try {
    return localText(moment, zone)
  } catch {
    return localText(moment, 'UTC')
  }
}

function Interval() {
  const { draft, set } = useEditing()
  return (
    <>
      <Labeled column="schedule" label="Every">
        {(marks) => (
          <div className="field-row">
            <input {...marks} className="input" inputMode="decimal" value={draft.amount} onChange={(event) => set({ amount: event.currentTarget.value })} />
            <select className="input" aria-label="Unit" value={draft.unit} onChange={(event) => set({ unit: event.currentTarget.value as Unit })}>
              <option value="s">seconds</option>
              <option value="min">minutes</option>
              <option value="h">hours</option>
              <option value="d">days</option>
            </select>
          </div>
        )}
      </Labeled>
      <MomentField column="run_date" name="runDate" label="Counted from" hint="Empty: now" />
    </>
  )
}

function TimeOfDay({ column }: { column: string }) {
  const { draft, set } = useEditing()
  return (
    <Labeled column={column} label="At">
      {(marks) => <input {...marks} className="input input-time" type="time" step="1" value={draft.time} onChange={(event) => set({ time: event.currentTarget.value })} />}
    </Labeled>
  )
}

function Weekdays() {
  const { draft, set, refusal } = useEditing()
  const isOn = (day: string) => draft.weekdays.some((each) => each.toLowerCase() === day)
  const toggle = (day: string, on: boolean) => set({ weekdays: WEEKDAYS.filter((each) => (each === day ? on : isOn(each))) })
  return (
    <fieldset className="field" id="job-schedule" aria-describedby="job-schedule-fault">
      <legend className="field-name">On</legend>
      <div className="days">
        {WEEKDAYS.map((day) => (
          <label key={day} className="day" data-on={isOn(day) || undefined}>
            <input type="checkbox" className="visually-hidden" checked={isOn(day)} onChange={(event) => toggle(day, event.currentTarget.checked)} />
            <span aria-hidden="true">{`${day.charAt(0).toUpperCase()}${day.slice(1, 3)}`}</span>
            <span className="visually-hidden">{day}</span>
          </label>
        ))}
      </div>
      {refusal?.column === 'schedule' && <p className="field-fault" id="job-schedule-fault">{refusal.message}</p>}
    </fieldset>
  )
}

const DAYS_OF_MONTH = [...Array.from({ length: 31 }, (_, day) => day + 1), -1]

function Monthdays() {
  const { draft, set, refusal } = useEditing()
  const others = draft.monthdays.filter((day) => !DAYS_OF_MONTH.includes(day))
  const toggle = (day: number, on: boolean) =>
    set({ monthdays: [...DAYS_OF_MONTH, ...others].filter((each) => (each === day ? on : draft.monthdays.includes(each))) })
  const needsRule = draft.monthdays.some((day) => day > 28 || day < -28)
  return (
    <>
      <fieldset className="field" id="job-schedule" aria-describedby="job-schedule-fault">
        <legend className="field-name">On</legend>
        <div className="days days-of-month">
          {[...DAYS_OF_MONTH, ...others].map((day) => (
            <label key={day} className="day" data-on={draft.monthdays.includes(day) || undefined}>
              <input type="checkbox" className="visually-hidden" checked={draft.monthdays.includes(day)} onChange={(event) => toggle(day, event.currentTarget.checked)} />
              <span aria-hidden="true">{day === -1 ? 'Last' : day}</span>
              <span className="visually-hidden">{day < 0 ? (day === -1 ? 'the last day' : `the ${ordinal(-day)} last day`) : `the ${ordinal(day)}`}</span>
            </label>
          ))}
        </div>
        {refusal?.column === 'schedule' && <p className="field-fault" id="job-schedule-fault">{refusal.message}</p>}
      </fieldset>
      {needsRule && (
        <Labeled column="missing_day" label="In months without that day">
          {(marks) => (
            <select {...marks} className="input" value={draft.missingDay} onChange={(event) => set({ missingDay: event.currentTarget.value as Draft['missingDay'] })}>
              <option value={draft.missingDay === 'last' ? 'last' : ''}>On its last day</option>
              <option value="skip">Not at all</option>
            </select>
          )}
        </Labeled>
      )}
    </>
  )
}

function Cron() {
  const { draft, set } = useEditing()
  return (
    <Labeled column="schedule" label="Expression" hint="minute hour day month weekday; the second may follow as a sixth">
      {(marks) => (
        <input
          {...marks} className="input mono" value={draft.expression} spellCheck={false} autoComplete="off" autoCapitalize="off"
          onChange={(event) => set({ expression: event.currentTarget.value })}
        />
      )}
    </Labeled>
  )
}
