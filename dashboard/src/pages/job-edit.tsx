import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { useParams } from 'wouter'
import type { JsonObject } from '../form/json'
import { startOf } from '../form/values'
import { useParameters } from '../lib/urls'
import { localZone } from '../lib/zoned'
import { Empty, ErrorNote, PageHead, Skeleton, Text } from '../ui/basics'
import { draftOf, newDraft } from './job-edit/draft'
import { Editor } from './job-edit/editor'
import { type CatalogueHandler, useHandlers } from './job-edit/handlers'
import { fetchJob } from './job-edit/row'
import { titleOf } from './jobs/list'
import '../styles/form.css'

export default function JobEdit() {
  const { id } = useParams<{ id?: string }>()
  const { data: handlers, error, refetch } = useHandlers()
  if (error) return <><PageHead title={id ? 'Edit' : 'New job'} /><ErrorNote error={error} retry={() => void refetch()} /></>
  if (!handlers) return <><PageHead title={id ? 'Edit' : 'New job'} /><Skeleton rows={6} height={70} /></>
  return id === undefined ? <NewJob handlers={handlers} /> : <EditJob key={id} id={Number(id)} handlers={handlers} />
}

function NewJob({ handlers }: { handlers: CatalogueHandler[] }) {
  const [parameters] = useParameters()
  const named = parameters.get('handler') ?? ''
  const initial = useMemo(() => {
    const schema = handlers.find(({ name }) => name === named)?.schema
    return { ...newDraft(localZone(), named), payload: ((schema && startOf(schema, schema)) ?? {}) as JsonObject }
  }, [named])
  return (
    <>
      <PageHead title="New job" />
      {handlers.some(({ exposed }) => exposed)
        ? <Editor key={named} base={null} initial={initial} handlers={handlers} />
        : <Empty icon="handlers" title="No handler can be chosen"><p className="muted">A listener publishes its handlers when it starts; those that are exposed can be scheduled here.</p></Empty>}
    </>
  )
}

function EditJob({ id, handlers }: { id: number; handlers: CatalogueHandler[] }) {
  const { data: job, error, refetch } = useQuery({
    queryKey: ['job to edit', id],
    queryFn: ({ signal }) => fetchJob(id, signal),
    staleTime: Infinity,
    gcTime: 0,
  })
  if (error) return <><PageHead title="Edit" /><ErrorNote error={error} retry={() => void refetch()} /></>
  if (job === undefined) return <><PageHead title="Edit" /><Skeleton rows={6} height={70} /></>
  if (job === null) return <><PageHead title="Edit" /><Empty icon="jobs" title="No such job"><p className="muted">It was deleted, or is not yours to see.</p></Empty></>
  if (job.source) {
    return (
      <>
        <PageHead title={<Text value={titleOf(job)} most={120} />} />
        <Empty icon="jobs" title="This job follows a row">
          <p className="muted">It is made and changed by the source <code><Text value={job.source} /></code>: change the row that it follows.</p>
        </Empty>
      </>
    )
  }
  return (
    <>
      <PageHead title={<>Edit <Text value={titleOf(job)} most={120} /></>} />
      <Editor base={job} initial={draftOf(job)} handlers={handlers} />
    </>
  )
}
