/** Routes live behind `#`, with their query: `#/runs?workspace=…&status=failed`. The workspace goes along. */
import { useMemo, useSyncExternalStore } from 'react'
import { useLocation, useSearch } from 'wouter'

export const WORKSPACE = 'workspace'

export function currentPlace(): { path: string; search: string } {
  const [path = '', search = ''] = location.hash.replace(/^#\/?/, '').split('?', 2)
  return { path: `/${path}`, search }
}

function watch(notify: () => void): () => void {
  addEventListener('hashchange', notify)
  addEventListener('popstate', notify)
  return () => {
    removeEventListener('hashchange', notify)
    removeEventListener('popstate', notify)
  }
}

/** The same target in the workspace that is open, unless it names one. */
export function inWorkspace(target: string, search: string = currentPlace().search): string {
  const workspace = new URLSearchParams(search).get(WORKSPACE)
  const [path = '/', query = ''] = target.split('?', 2)
  const params = new URLSearchParams(query)
  if (workspace && !params.has(WORKSPACE)) params.set(WORKSPACE, workspace)
  const text = params.toString()
  return text ? `${path}?${text}` : path
}

export function go(target: string, { replace = false }: { replace?: boolean } = {}): void {
  history[replace ? 'replaceState' : 'pushState'](null, '', `#${inWorkspace(target)}`)
  dispatchEvent(new HashChangeEvent('hashchange'))
}

export const useHashPath = (): [string, typeof go] => [useSyncExternalStore(watch, () => currentPlace().path), go]
export const useHashSearch = (): string => useSyncExternalStore(watch, () => currentPlace().search)
export const hashHref = (target: string): string => `#${inWorkspace(target)}`

/** What the URL says beside the route, and how to change parts of it: null or '' removes a part. */
export function useParameters(): [URLSearchParams, (changes: Record<string, string | null>) => void] {
  const search = useSearch()
  const [path] = useLocation()
  const parameters = useMemo(() => new URLSearchParams(search), [search])
  return [parameters, (changes) => go(changed(path, currentPlace().search, changes), { replace: true })]
}

export function changed(path: string, search: string, changes: Record<string, string | null>): string {
  const next = new URLSearchParams(search)
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') next.delete(name)
    else next.set(name, value)
  }
  const text = next.toString()
  return text ? `${path}?${text}` : path
}
