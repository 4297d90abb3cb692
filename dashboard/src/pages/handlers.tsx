import { useState } from 'react'
import { answer, supabase } from '../data/client'
import { useLiveQuery } from '../data/queries'
import { useTenancy, type Right } from '../data/session'
import type { HandlerRow } from '../data/types'
import { plural } from '../lib/format'
import { go, useParameters } from '../lib/urls'
import { Badge, Button, Empty, ErrorNote, PageHead, Panel, Skeleton, Text } from '../ui/basics'
import { JsonView } from '../ui/copy'
import { SearchField } from '../ui/facets'
import { Time } from '../ui/time'
import { fieldsOf } from './handlers/fields'
import { HowToStart } from './listeners/how-to-start'
import '../styles/catalogue.css'

const POLL_MILLISECONDS = 60_000

export default function Handlers() {
  const [parameters, setParameters] = useParameters()
  const typed = parameters.get('name') ?? ''
  const { data, error, refetch } = useLiveQuery({
    queryKey: ['handlers'],
    touchedBy: 'never',
    every: POLL_MILLISECONDS,
    queryFn: async ({ signal }) => await answer(supabase.from('job_handlers').select('*').order('name').limit(1000).abortSignal(signal)) as HandlerRow[],
  })
  const showsAll = parameters.get('all') === '1'
  const found = (data ?? []).filter(({ name, description }) => `${name} ${description}`.toLowerCase().includes(typed.toLowerCase()))
    .sort((a, b) => Number(b.exposed) - Number(a.exposed))
  const shown = showsAll ? found : found.filter(({ exposed }) => exposed)
  const hidden = found.length - shown.length
  return (
    <>
      <PageHead title="Handlers" lead="What jobs can do: each listener publishes its own when it starts." />
      <div className="toolbar">
        <SearchField label="Find a handler" value={typed} onChange={(name) => setParameters({ name })} />
        <label className="check"><input type="checkbox" checked={showsAll} onChange={(event) => setParameters({ all: event.currentTarget.checked ? '1' : null })} />Those of the service, too</label>
      </div>
      {error && <ErrorNote error={error} retry={() => void refetch()} />}
      {!data && !error && <Skeleton rows={3} height={150} />}
      {data?.length === 0 && <Empty icon="handlers" title="No handler yet"><p className="muted">A listener publishes its handlers when it starts.</p><HowToStart /></Empty>}
      {data && data.length > 0 && found.length === 0 && <Empty icon="search" title="No handler has these words"><Button onClick={() => setParameters({ name: null })}>Show all</Button></Empty>}
      {found.length > 0 && shown.length === 0 && <Empty icon="handlers" title="None of these is for users"><p className="muted">A handler acts with the powers of the service. Its declaration says whether users may schedule it: @handler(…, exposed=True).</p></Empty>}
      <div className="handlers">{shown.map((handler) => <Handler key={handler.name} handler={handler} />)}</div>
      {hidden > 0 && <p className="muted page-foot">{plural(hidden, 'handler')} more: only the service key may schedule {hidden === 1 ? 'it' : 'them'}.</p>}
    </>
  )
}

function Handler({ handler }: { handler: HandlerRow }) {
  const { canWrite } = useTenancy()
  const [isRaw, setIsRaw] = useState(false)
  const fields = fieldsOf(handler.payload_schema)
  const hidden: Right = { isAllowed: false, why: 'It is not exposed: jobs of it are written with the service key.' }
  return (
    <Panel
      className="handler" title={<Text value={handler.name} />}
      acts={<Button size="small" icon="plus" right={handler.exposed ? canWrite : hidden} onClick={() => go(`/jobs/new?handler=${encodeURIComponent(handler.name)}`)}>New job</Button>}
    >
      <div className="panel-body">
        {handler.description && <p className="soft"><Text value={handler.description} /></p>}
        {fields.length > 0
          ? (
            <table className="schema">
              <caption className="visually-hidden">Payload of {handler.name}</caption>
              <tbody>
                {fields.map((field) => (
                  <tr key={field.name}>
                    <th scope="row" className="mono"><Text value={field.name} />{field.isRequired && <span className="required" title="required"> *<span className="visually-hidden"> required</span></span>}</th>
                    <td><span className="mono soft"><Text value={field.type} most={160} /></span>{field.initial && <span className="muted"> = <Text value={field.initial} most={80} /></span>}{field.description && <div className="muted"><Text value={field.description} /></div>}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
          : <p className="muted">Takes any payload.</p>}
        <div className="page-acts">
          <Badge tone={handler.exposed ? 'good' : 'plain'}>{handler.exposed ? 'exposed' : 'service only'}</Badge>
          <span className="muted">published <Time at={handler.updated_at} as="relative" /></span>
          <button type="button" className="link" aria-expanded={isRaw} onClick={() => setIsRaw(!isRaw)}>{isRaw ? 'Hide the schema' : 'JSON schema'}</button>
        </div>
        {isRaw && <JsonView text={JSON.stringify(handler.payload_schema)} label="JSON schema" />}
      </div>
    </Panel>
  )
}
