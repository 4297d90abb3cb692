import type { ReactNode } from 'react'
import { hasZone } from '../../lib/schedule'
import { ColumnChoice, ColumnField } from './column-field'
import { useEditing } from './context'
import { MomentField } from './trigger-fields'

/** The columns that few jobs need. */
export function Advanced({ hasTestMode }: { hasTestMode: boolean }) {
  const { draft, set, isNew } = useEditing()
  const recurs = draft.trigger !== 'once'
  return (
    <div className="advanced">
      {recurs && (
        <Part title="How long it goes on">
          {draft.trigger !== 'interval' && <MomentField column="run_date" name="runDate" label="Not before" />}
          <MomentField column="ends_at" name="endsAt" label="Ends at" />
          <ColumnField column="max_runs" label="Runs at most" isNumber placeholder="no bound" />
        </Part>
      )}
      <Part title="When things go wrong">
        <ColumnField column="max_attempts" label="Attempts" isNumber hint="for each due instant" />
        <ColumnField column="retry_delay_seconds" label="First delay" isNumber unit="s" />
        <ColumnField column="retry_backoff" label="Backoff" isNumber hint="each delay is so many times the one before" />
        <ColumnField column="timeout_seconds" label="Timeout" isNumber unit="s" />
        <ColumnChoice
          column="misfire" label="Missed instants"
          options={{ run_once: 'Run once for all of them', run_all: 'Run each of them', skip: 'Skip them' }}
        />
        <ColumnField column="misfire_grace_seconds" label="Missed after" isNumber unit="s" />
      </Part>
      <Part title="What runs at the same time">
        <ColumnChoice
          column="overlap" label="While it still runs"
          options={{ skip: 'Skip the instant', queue: 'Wait for the end', allow: 'Run at the same time', replace: 'Stop the run and start anew' }}
        />
        <ColumnField column="priority" label="Priority" isNumber hint="higher goes first when much is due" />
        <ColumnField column="concurrency_key" label="Concurrency key" hint="jobs that share it run one after another" placeholder="none" />
      </Part>
      {hasZone(draft.trigger) && (
        <Part title="When clocks change">
          <ColumnChoice column="dst_gap" label="A time that does not exist" options={{ run_after: 'Run after the gap', skip: 'Skip it' }} />
          <ColumnChoice column="dst_fold" label="A time that comes twice" options={{ first: 'Run the first time', second: 'Run the second time', both: 'Run both times' }} />
        </Part>
      )}
      <Part title="The job itself">
        <ColumnField
          column="job_id" label="Key" placeholder="made by the database"
          hint={isNew ? 'your own name for it, unique in the workspace: a second insert is refused' : 'unique in the workspace'}
        />
        <ColumnField column="job_type" label="Type" placeholder="that of the handler" hint="for people and programs" />
        <ColumnField column="cleanup_after_days" label="Kept for" isNumber unit="days" placeholder="as the listener is set" />
        <label className="field-check">
          <input type="checkbox" checked={draft.storeResult} onChange={(event) => set({ storeResult: event.currentTarget.checked })} />
          Keep what the handler returns
        </label>
        {hasTestMode && (
          <label className="field-check">
            <input type="checkbox" checked={draft.testMode} onChange={(event) => set({ testMode: event.currentTarget.checked })} />
            Test mode: each run rehearses
          </label>
        )}
      </Part>
    </div>
  )
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="advanced-part">
      <h3>{title}</h3>
      <div className="advanced-fields">{children}</div>
    </section>
  )
}
