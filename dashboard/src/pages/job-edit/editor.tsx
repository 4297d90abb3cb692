import { useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from 'react'
import { useTenancy } from '../../data/session'
import type { Faults } from '../../form/check'
import type { JsonObject } from '../../form/json'
import { hasForm } from '../../form/schema'
import { redacted, startOf } from '../../form/values'
import { isZone } from '../../lib/zoned'
import { go } from '../../lib/urls'
import { Button, ErrorNote, Panel, Skeleton, Text } from '../../ui/basics'
import { showDone } from '../../ui/toast'
import { Advanced } from './advanced'
import { ColumnField, Labeled } from './column-field'
import { Conflict } from './conflict'
import { EditingContext } from './context'
import { changesOf, type Draft, draftOf, insertOf, instantText, scheduleOf } from './draft'
import type { CatalogueHandler } from './handlers'
import { QuotaLeft } from './quota-left'
import { type Placed, placed } from './refusals'
import { type Definition, type JobRow, useHasTestMode } from './row'
import { SameAs } from './same-as'
import { insertJob, saveJob } from './save'
import { TriggerFields } from './trigger-fields'
import { Upcoming } from './upcoming'

const PayloadEditor = lazy(() => import('../../form/PayloadEditor'))

interface EditorProps {
  /** The job as it was read; null makes a new one. */
  base: JobRow | null
  initial: Draft
  handlers: CatalogueHandler[]
}

export function Editor({ base: read, initial, handlers }: EditorProps) {
  const { workspace, canWrite } = useTenancy()
  const queries = useQueryClient()
  const hasTestMode = useHasTestMode()
  const [base, setBase] = useState(read)
  const [draft, setDraft] = useState(initial)
  const [untouched, setUntouched] = useState(draft)
  const [version, setVersion] = useState(0) // of what was put in from elsewhere
  const [mode, setMode] = useState<'form' | 'json'>('form')
  const [hasFaults, setHasFaults] = useState(false)
  const [showsAll, setShowsAll] = useState(false)
  const [refusal, setRefusal] = useState<Placed | null>(null)
  const [conflict, setConflict] = useState<{ theirs: JobRow; mine: Definition } | null>(null)
  const [isBusy, setIsBusy] = useState(false)
  const payloads = useRef(new Map<string, JsonObject>())
  const form = useRef<HTMLFormElement>(null)

  const isTouched = draft !== untouched && !isBusy
  useEffect(() => {
    if (!isTouched) return
    const ask = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', ask)
    return () => removeEventListener('beforeunload', ask)
  }, [isTouched])

  const handler = handlers.find(({ name }) => name === draft.handler)
  const schema = handler?.schema ?? null
  const set = (parts: Partial<Draft>) => setDraft((earlier) => ({ ...earlier, ...parts }))
  const choose = (name: string) => {
    payloads.current.set(draft.handler, draft.payload)
    const next = handlers.find((each) => each.name === name)?.schema ?? null
    const start = next && hasForm(next) ? startOf(next, next) : {}
    set({ handler: name, payload: payloads.current.get(name) ?? ((start ?? {}) as JsonObject) })
    setVersion(version + 1)
  }
  const write = useMemo(() => {
    const columns = base ? changesOf(base, draft) : { ...insertOf(draft, workspace), handler: draft.handler || NO_HANDLER }
    const covered = schema && columns.metadata ? { ...columns, metadata: redacted(columns.metadata, schema, schema) } : columns
    return { id: base?.id ?? null, columns: covered, hasSecrets: JSON.stringify(covered.metadata) !== JSON.stringify(columns.metadata) }
  }, [base, draft, workspace, schema])

  const focusFault = () => requestAnimationFrame(() => {
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"], .field-fault')?.scrollIntoView({ block: 'center' })
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus()
  })
  const save = async (from: JobRow | null, what: Draft) => {
    if (hasFaults && what === draft) {
      setShowsAll(true)
      return focusFault()
    }
    setIsBusy(true)
    setRefusal(null)
    try {
      const saved = await (from ? saveJob(from, what) : insertJob(what, workspace, hasTestMode))
      if ('theirs' in saved) return setConflict(saved)
      showDone(from ? (saved.changed ? 'Job saved' : 'Nothing was changed') : 'Job created')
      void queries.invalidateQueries({ queryKey: ['jobs'] })
      void queries.invalidateQueries({ queryKey: ['job', saved.id] })
      go(`/jobs/${saved.id}`)
    } catch (fault) {
      setRefusal(placed(fault))
      focusFault()
    } finally {
      setIsBusy(false)
    }
  }
  const resolve = (chosen: Definition, saves: boolean) => {
    if (!conflict) return
    const merged = draftOf({ ...conflict.theirs, ...chosen } as JobRow)
    setConflict(null)
    setBase(conflict.theirs)
    setDraft(merged)
    if (Object.keys(chosen).length === 0) setUntouched(merged)
    setVersion(version + 1)
    if (saves) void save(conflict.theirs, merged)
  }
  const payloadRefusals: Faults = refusal?.column === 'metadata' ? new Map([[refusal.path, refusal.message]]) : NO_FAULTS
  const isPlaced = refusal !== null && refusal.column !== null && PLACED.has(refusal.column)
  return (
    <EditingContext.Provider
      value={{ draft, set, setText: (column, text) => set({ texts: { ...draft.texts, [column]: text } }), isNew: base === null, refusal }}
    >
      <form
        ref={form} className="editor" noValidate
        onSubmit={(event) => {
          event.preventDefault()
          if (!isBusy && canWrite.isAllowed) void save(base, draft)
        }}
      >
        <div className="editor-main">
          {refusal && !isPlaced && <ErrorNote error={refusal} />}
          <Panel title="What">
            <div className="panel-body fields">
              <Labeled column="handler" label="Handler" hint={handler?.description && <Text value={handler.description} />}>
                {(marks) => (
                  <select {...marks} className="input" value={draft.handler} aria-required onChange={(event) => choose(event.currentTarget.value)}>
                    {draft.handler === '' && <option value="">Choose…</option>}
                    {handlers.filter(({ exposed, name }) => exposed || name === read?.handler).map(({ name, exposed }) => (
                      <option key={name} value={name}>{exposed ? name : `${name} (not exposed)`}</option>
                    ))}
                    {draft.handler !== '' && !handler && <option value={draft.handler}>{draft.handler} (no listener has it)</option>}
                  </select>
                )}
              </Labeled>
              <ColumnField column="name" label="Name" placeholder="its key, unless you name it" />
              <ColumnField column="description" label="Description" isLong placeholder="" />
            </div>
          </Panel>
          {draft.handler !== '' && (
            <Panel title="Payload">
              <div className="panel-body">
                <Suspense fallback={<Skeleton rows={3} height={56} />}>
                  <PayloadEditor
                    key={`${draft.handler} ${version}`} schema={schema} value={draft.payload} onChange={(payload) => set({ payload })}
                    refusals={payloadRefusals} showsAll={showsAll} onFaults={setHasFaults} mode={mode} onMode={setMode}
                  />
                </Suspense>
              </div>
            </Panel>
          )}
          <Panel title="When"><div className="panel-body"><TriggerFields /></div></Panel>
          <details className="panel editor-advanced" open={refusal !== null && isPlaced && !FIRST.has(refusal.column ?? '') ? true : undefined}>
            <summary className="panel-head"><h2>Advanced</h2><span className="muted">end, retries, overlap, clock changes, key</span></summary>
            <div className="panel-body"><Advanced hasTestMode={hasTestMode} /></div>
          </details>
          <div className="editor-acts">
            <Button type="submit" kind="primary" right={canWrite} isBusy={isBusy} disabled={draft.handler === ''}>{base ? 'Save' : 'Create job'}</Button>
            <Button onClick={() => go(base ? `/jobs/${base.id}` : '/jobs')}>Cancel</Button>
          </div>
        </div>
        <aside className="editor-side" aria-label="What comes of it">
          <Panel title="Next runs"><div className="panel-body"><NextRuns draft={draft} base={base} /></div></Panel>
          <Panel title="Quotas"><div className="panel-body"><QuotaLeft workspace={base ? base.workspace_id : workspace} /></div></Panel>
          <Panel title="The same as code"><div className="panel-body"><SameAs write={write} hasSecrets={write.hasSecrets} lacksHandler={draft.handler === ''} /></div></Panel>
        </aside>
      </form>
      {conflict && base && (
        <Conflict base={base} theirs={conflict.theirs} mine={conflict.mine} schema={schema} onResolve={resolve} onClose={() => setConflict(null)} />
      )}
    </EditingContext.Provider>
  )
}

const NO_FAULTS: Faults = new Map()
/** Stands in the code for a handler that is not chosen yet. */
const NO_HANDLER = '<handler>'
const FIRST = new Set(['handler', 'name', 'description', 'metadata', 'schedule', 'timezone', 'trigger_type'])
/** Columns that have a field, at which a refusal is shown. */
const PLACED = new Set([...FIRST, 'run_date', 'ends_at', 'dst_gap', 'dst_fold', 'job_id', 'job_type', 'max_runs', 'max_attempts', 'retry_delay_seconds', 'retry_backoff',
  'timeout_seconds', 'priority', 'overlap', 'misfire', 'misfire_grace_seconds', 'concurrency_key', 'cleanup_after_days'])

function NextRuns({ draft, base }: { draft: Draft; base: JobRow | null }) {
  if (draft.trigger === 'once' && draft.runDate === null) return <p>Once, as soon as it is created.</p>
  if (draft.trigger === 'once' && isPast(draft)) return <p>At once: that time has passed.</p>
  if (!isZone(draft.timezone)) return <p className="muted">Choose a time zone.</p>
  const most = draft.texts.max_runs === '' ? null : Number(draft.texts.max_runs)
  const request = {
    trigger_type: draft.trigger, schedule: scheduleOf(draft), timezone: draft.timezone,
    run_date: instantText(draft.runDate, draft.timezone), ends_at: instantText(draft.endsAt, draft.timezone),
    dst_gap: draft.texts.dst_gap, dst_fold: draft.texts.dst_fold,
  }
  return <Upcoming request={request} n={5} left={most === null || Number.isNaN(most) ? null : Math.max(0, most - (base?.scheduled_runs ?? 0))} />
}

/** Whether somebody just entered a time that is over; one that the job had is over because it ran. */
function isPast({ runDate, timezone }: Draft): boolean {
  if (runDate === null || 'iso' in runDate || !isZone(timezone)) return false
  const at = instantText(runDate, timezone)
  return at !== null && Date.parse(at) <= Date.now()
}
