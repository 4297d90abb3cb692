import { useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from 'react'
import { store, stored } from '../lib/prefs'
import { go, useParameters, WORKSPACE } from '../lib/urls'
import { answer, supabase } from './client'
import type { Role, Workspace } from './types'

/** `expired`: the session ended by itself, and what is shown stays. */
export type SessionState = 'loading' | 'out' | 'in' | 'expired'

export interface User {
  id: string
  email: string
}

export interface Session {
  state: SessionState
  user: User | null
  /** Why coming back from a provider did not sign in. */
  fault: Error | null
  signIn: (email: string, password: string) => Promise<void>
  signOut: () => Promise<void>
}

const SessionContext = createContext<Session | null>(null)

export function SessionProvider({ children }: { children: ReactNode }) {
  const [state, setState] = useState<SessionState>('loading')
  const [user, setUser] = useState<User | null>(null)
  const [fault, setFault] = useState<Error | null>(null)
  const queries = useQueryClient()
  const known = useRef<string | null>(null)
  const leaves = useRef(false)

  useEffect(() => {
    void supabase.auth.initialize().then(({ error }) => setFault(error))
    const { data } = supabase.auth.onAuthStateChange((event, session) => {
      if (session) {
        if (known.current !== null && known.current !== session.user.id) queries.clear()
        known.current = session.user.id
        setUser((earlier) => (earlier?.id === session.user.id ? earlier : { id: session.user.id, email: session.user.email ?? session.user.id }))
        setState('in')
      } else if (event === 'INITIAL_SESSION' || leaves.current) {
        leaves.current = false
        known.current = null
        queries.clear()
        setUser(null)
        setState('out')
      } else {
        setState((earlier) => (earlier === 'in' ? 'expired' : earlier))
      }
    })
    return () => data.subscription.unsubscribe()
  }, [queries])

  const session = useMemo<Session>(() => ({
    state,
    user,
    fault,
    signIn: async (email, password) => {
      const { error } = await supabase.auth.signInWithPassword({ email, password })
      if (error) throw error
    },
    signOut: async () => {
      leaves.current = true
      const { error } = await supabase.auth.signOut({ scope: 'local' })
      leaves.current &&= !error
      if (error) throw error
    },
  }), [state, user, fault])
  return <SessionContext value={session}>{children}</SessionContext>
}

export function useSession(): Session {
  const session = useContext(SessionContext)
  if (!session) throw new Error('useSession outside of SessionProvider')
  return session
}

/** Whether an act is offered; `why` says why not. */
export interface Right {
  isAllowed: boolean
  why: string | undefined
}

export interface Tenancy {
  /** The id of the workspace that is open; null: the private jobs of the user. */
  workspace: string | null
  name: string
  /** Whether its members are ours to show; a project may keep teams in tables of its own. */
  isOurs: boolean
  role: Role | 'owner'
  workspaces: Workspace[]
  canWrite: Right
  canAdminister: Right
  open: (workspace: string | null) => void
}

const TenancyContext = createContext<Tenancy | null>(null)
const PRIVATE = 'private'

/** The workspace is in the URL. A URL that names none opens the one that was open last, else the first. */
export function TenancyProvider({ children, fallback }: { children: ReactNode; fallback: (fault: Error | null, retry: () => void) => ReactNode }) {
  const { user, state } = useSession()
  const [parameters, setParameters] = useParameters()
  const { data: workspaces, error, refetch } = useQuery({
    queryKey: ['workspaces', user?.id],
    queryFn: ({ signal }) => listWorkspaces(signal),
    enabled: state === 'in',
    staleTime: 60_000,
  })
  const named = parameters.get(WORKSPACE)
  const chosen = named ?? stored('workspace') ?? workspaces?.[0]?.id ?? PRIVATE
  const found = workspaces?.find((one) => one.id === chosen)
  const resolved = found?.id ?? PRIVATE

  useEffect(() => {
    if (!workspaces) return
    if (named !== resolved) setParameters({ [WORKSPACE]: resolved })
    store('workspace', resolved)
  })

  const tenancy = useMemo<Tenancy>(() => ({
    workspace: found?.id ?? null,
    name: found?.name ?? 'Private',
    isOurs: found?.isOurs ?? false,
    role: found?.role ?? 'owner',
    workspaces: workspaces ?? [],
    canWrite: right(found, ['editor', 'admin']),
    canAdminister: right(found, ['admin']),
    open: (workspace) => go(`/?${WORKSPACE}=${workspace ?? PRIVATE}`),
  }), [found?.id, found?.name, found?.role, workspaces])

  if (!workspaces) return fallback(error, () => void refetch())
  return <TenancyContext value={tenancy}>{children}</TenancyContext>
}

export function useTenancy(): Tenancy {
  const tenancy = useContext(TenancyContext)
  if (!tenancy) throw new Error('useTenancy outside of TenancyProvider')
  return tenancy
}

/** The right of a member whose role is one of these; without a workspace one owns what one sees. */
export function right(workspace: Workspace | undefined, roles: Role[]): Right {
  if (!workspace || roles.includes(workspace.role)) return { isAllowed: true, why: undefined }
  const article = workspace.role === 'viewer' ? 'a viewer' : 'an editor'
  return { isAllowed: false, why: `You are ${article} of ${workspace.name}; this takes ${roles.length > 1 ? 'an editor or an admin' : 'an admin'}.` }
}

/** A team that the project keeps in tables of its own has no name here. */
async function listWorkspaces(signal: AbortSignal): Promise<Workspace[]> {
  const rows = await answer(supabase.rpc('list_workspaces').abortSignal(signal)) as { id: string; name: string | null; role: Role }[]
  return rows.map((row) => ({ ...row, name: row.name ?? `Team ${row.id.slice(0, 8)}`, isOurs: row.name !== null }))
}
