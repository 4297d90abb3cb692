import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient, type QueryKey, type UseMutationResult, type UseQueryResult } from '@tanstack/react-query'
import { useCallback, useEffect, useRef, useState } from 'react'
import { Throttle, type Changes } from '../lib/coalesce'
import { withHead, type Page } from '../lib/pages'
import { onChanges, usePolls } from './live'
import { useSession } from './session'

export const POLL_MILLISECONDS = 15_000
const GAP_MILLISECONDS = 2_000

/** `any`: each change of a job asks for new data, at most one request in two seconds. */
type Touch = 'any' | 'never' | ((changes: Changes) => boolean)

interface LiveQuery<T> {
  queryKey: QueryKey
  queryFn: (context: { signal: AbortSignal }) => Promise<T>
  touchedBy?: Touch
  /** Applies changes to what is shown, at once. */
  patch?: (data: T, changes: Changes) => T
  every?: number | false
  enabled?: boolean
  keepPrevious?: boolean
}

/** A query that stays up to date: by changes from Realtime, and every 15 s while somebody looks. */
export function useLiveQuery<T>({ queryKey, queryFn, touchedBy = 'any', patch, every = POLL_MILLISECONDS, enabled = true, keepPrevious }: LiveQuery<T>): UseQueryResult<T, Error> {
  const queries = useQueryClient()
  const isActive = useIsActive(enabled)
  const polls = usePolls()
  const result = useQuery<T, Error>({
    queryKey,
    queryFn,
    enabled: isActive,
    refetchInterval: polls ? every : false,
    ...(keepPrevious ? { placeholderData: keepPreviousData as never } : {}),
  })
  const { refetch } = result
  useTouch(isActive && polls, touchedBy, refetch, (changes) => {
    if (patch) queries.setQueryData<T>(queryKey, (data) => (data === undefined ? data : patch(data, changes)))
  })
  return result
}

interface LivePages<Row> {
  queryKey: QueryKey
  fetchPage: (after: unknown, signal: AbortSignal) => Promise<Page<Row>>
  idOf: (row: Row) => unknown
  touchedBy?: Touch
  patch?: (rows: Row[], changes: Changes) => Row[]
  /** New rows wait until `showFresh`, so that what is being read does not move. */
  holds?: boolean
  every?: number | false
  enabled?: boolean
}

export interface LivePagesResult<Row> {
  rows: Row[]
  isLoading: boolean
  error: Error | null
  refetch: () => void
  hasMore: boolean
  isLoadingMore: boolean
  loadMore: () => void
  fresh: number
  showFresh: () => void
}

const FIRST = Symbol('first page')

/** A list that is read by key, of which the first page stays up to date, and further ones are read once. */
export function useLivePages<Row>(options: LivePages<Row>): LivePagesResult<Row> {
  const { queryKey, fetchPage, idOf, touchedBy = 'any', patch, holds = false, every = POLL_MILLISECONDS, enabled = true } = options
  const queries = useQueryClient()
  const isActive = useIsActive(enabled)
  const polls = usePolls()
  const result = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam, signal }) => fetchPage(pageParam === FIRST ? null : pageParam, signal),
    initialPageParam: FIRST as unknown,
    getNextPageParam: (page: Page<Row>) => page.next ?? undefined,
    enabled: isActive,
    staleTime: Infinity, // refetching would read each page again
    refetchOnWindowFocus: false,
  })
  const key = JSON.stringify(queryKey)
  const [held, setHeld] = useState<{ key: string; head: Page<Row>; fresh: number } | null>(null)

  const take = useCallback((head: Page<Row>) => {
    setHeld(null)
    queries.setQueryData<typeof result.data>(queryKey, (data) => {
      if (!data) return data
      const merged = withHead({ rows: data.pages.flatMap((page) => page.rows), next: data.pages.at(-1)?.next ?? null }, head, idOf)
      return { pages: [merged ?? head], pageParams: [FIRST] }
    })
  }, [key])

  const pollHead = useCallback(async () => {
    const state = queries.getQueryState(queryKey)
    if (!state?.data || state.fetchStatus === 'fetching') return
    const head = await fetchPage(null, new AbortController().signal).catch(() => null)
    if (!head) return
    const shown = new Set((queries.getQueryData<typeof result.data>(queryKey)?.pages ?? []).flatMap((page) => page.rows.map(idOf)))
    const fresh = head.rows.filter((row) => !shown.has(idOf(row)))
    if (!holds || fresh.length === 0 || shown.size === 0) return take(head)
    setHeld({ key, head, fresh: fresh.length })
    const newer = new Map(head.rows.map((row) => [idOf(row), row]))
    updateRows<Row>(queries, queryKey, (rows) => rows.map((row) => newer.get(idOf(row)) ?? row))
  }, [key, holds])

  useTouch(isActive && polls, touchedBy, pollHead, (changes) => {
    if (patch) updateRows<Row>(queries, queryKey, (rows) => patch(rows, changes))
  })
  useEffect(() => {
    if (!isActive || !polls || every === false) return
    const timer = setInterval(() => void pollHead(), every)
    return () => clearInterval(timer)
  }, [isActive, polls, every, pollHead])

  const waiting = held?.key === key ? held : null
  return {
    rows: result.data?.pages.flatMap((page) => page.rows) ?? [],
    isLoading: result.isPending,
    error: result.error,
    refetch: () => void result.refetch(),
    hasMore: result.hasNextPage,
    isLoadingMore: result.isFetchingNextPage,
    loadMore: () => void (result.isFetchingNextPage || result.fetchNextPage()),
    fresh: waiting?.fresh ?? 0,
    showFresh: () => waiting && take(waiting.head),
  }
}

function updateRows<Row>(queries: ReturnType<typeof useQueryClient>, queryKey: QueryKey, update: (rows: Row[]) => Row[]): void {
  queries.setQueryData<{ pages: Page<Row>[]; pageParams: unknown[] }>(queryKey, (data) => {
    if (!data) return data
    let isChanged = false
    const pages = data.pages.map((page) => {
      const rows = update(page.rows)
      if (rows === page.rows) return page
      isChanged = true
      return { ...page, rows }
    })
    return isChanged ? { ...data, pages } : data
  })
}

function useIsActive(enabled: boolean): boolean {
  return useSession().state === 'in' && enabled
}

/** Has changes applied at once, and the data read again, never more often than the database answers at ease. */
function useTouch(isActive: boolean, touchedBy: Touch, refetch: () => unknown, apply: (changes: Changes) => void): void {
  const latest = useRef({ touchedBy, refetch, apply })
  latest.current = { touchedBy, refetch, apply }
  const wasActive = useRef<boolean | null>(null)
  useEffect(() => {
    const isBack = isActive && wasActive.current === false // from a pause, another tab, or an ended session
    wasActive.current = isActive
    if (!isActive) return
    let took = 0
    const throttle = new Throttle(async () => {
      const started = Date.now()
      await latest.current.refetch()
      took = Date.now() - started
    }, () => Math.max(GAP_MILLISECONDS, 4 * took))
    const stop = onChanges((changes) => {
      latest.current.apply(changes)
      const { touchedBy: touch } = latest.current
      if (changes.isPartial || touch === 'any' || (typeof touch === 'function' && touch(changes))) throttle.ask()
    })
    if (isBack) throttle.ask()
    return () => {
      stop()
      throttle.stop()
    }
  }, [isActive])
}

interface Act<Input, Result> {
  act: (input: Input) => Promise<Result>
  /** Queries to read again, by the beginnings of their keys. */
  touches?: QueryKey[]
  done?: (result: Result, input: Input) => void
  /** The caller shows a refusal itself; otherwise a toast does, with a retry. */
  showsRefusal?: boolean
}

/** Writes to the database, and then has what is shown read again. */
export function useAct<Input, Result>({ act, touches = [], done, showsRefusal = false }: Act<Input, Result>): UseMutationResult<Result, Error, Input> {
  const queries = useQueryClient()
  return useMutation<Result, Error, Input>({
    mutationFn: act,
    meta: { showsRefusal },
    onSuccess: (result, input) => done?.(result, input),
    onSettled: () => Promise.all(touches.map((queryKey) => queries.invalidateQueries({ queryKey }))).then(() => undefined),
  })
}
