import type { PostgrestFilterBuilder } from '@supabase/postgrest-js'

/** What the list of jobs is narrowed by, as the URL says it. */
export interface JobFilter {
  status: string[]
  handler: string[]
  trigger: string[]
  name: string
  isMine: boolean
  /** `next`: those that are due, the soonest first; else the newest first. */
  order: 'new' | 'next'
}

export const STATUSES = ['scheduled', 'running', 'paused', 'completed', 'failed', 'cancelled'] as const
export const FACETS = ['status', 'handler', 'trigger'] as const

export function filterOf(parameters: URLSearchParams): JobFilter {
  const list = (name: string) => (parameters.get(name) ?? '').split(',').filter(Boolean).map(decoded)
  return {
    status: list('status'),
    handler: list('handler'),
    trigger: list('trigger'),
    name: parameters.get('name') ?? '',
    isMine: parameters.get('mine') === 'yes',
    order: parameters.get('order') === 'next' ? 'next' : 'new',
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A choice of a facet in the URL; a comma in a name is none between names. */
export const listed = (chosen: string[]): string => chosen.map((each) => each.replaceAll('%', '%25').replaceAll(',', '%2C')).join(',')

export const isNarrowed = (filter: JobFilter): boolean =>
  FACETS.some((facet) => filter[facet].length > 0) || filter.name !== '' || filter.isMine

/** Whether `bulk_jobs` has a filter for the same jobs: it knows neither "mine" nor what is due. */
export const isBulk = (filter: JobFilter): boolean => !filter.isMine && filter.order === 'new'

/** The filter of `bulk_jobs` for the same jobs, if there is one. */
export function bulkFilter(filter: JobFilter, workspace: string | null): Record<string, unknown> {
  return {
    workspace_id: workspace,
    ...(filter.status.length > 0 && { status: filter.status }),
    ...(filter.handler.length > 0 && { handler: filter.handler }),
    ...(filter.trigger.length > 0 && { trigger_type: filter.trigger }),
    ...(filter.name !== '' && { name: filter.name }),
  }
}

type Builder = PostgrestFilterBuilder<any, any, any, any, any, any, any>

/** Narrows a request for `scheduled_jobs` to the jobs of the filter. */
export function narrowed<Request extends Builder>(request: Request, filter: JobFilter, workspace: string | null, user: string): Request {
  let narrower = workspace === null ? request.is('workspace_id', null).eq('created_by', user) : request.eq('workspace_id', workspace)
  if (workspace !== null && filter.isMine) narrower = narrower.eq('created_by', user)
  if (filter.status.length > 0) narrower = narrower.in('status', filter.status)
  if (filter.handler.length > 0) narrower = narrower.in('handler', filter.handler)
  if (filter.trigger.length > 0) narrower = narrower.in('trigger_type', filter.trigger)
  if (filter.order === 'next') narrower = narrower.not('next_run_at', 'is', null)
  if (filter.name !== '') narrower = narrower.or(nameIsLike(filter.name))
  return narrower as Request
}

/** A part of the name, in any case; of a job without a name, of its key. */
export function nameIsLike(part: string): string {
  // PostgREST reads * as %, and has no escape for it; _ stands for any character
  const pattern = part.replace(/[\\%_]/g, '\\$&').replaceAll('*', '_')
  const quoted = `"*${pattern.replace(/[\\"]/g, '\\$&')}*"`
  return `name.ilike.${quoted},and(name.is.null,job_id.ilike.${quoted})`
}
