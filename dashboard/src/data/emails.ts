import { useQuery } from '@tanstack/react-query'
import { answer, supabase } from './client'
import { useSession, useTenancy } from './session'

const NONE: ReadonlyMap<string, string> = new Map()

/** The confirmed addresses of the open workspace's members, by their ids; empty until they are there. */
export function useEmails(): ReadonlyMap<string, string> {
  const { state } = useSession()
  const { workspace, isOurs } = useTenancy()
  const { data } = useQuery({
    queryKey: ['members', workspace, 'emails'],
    enabled: state === 'in' && workspace !== null && isOurs,
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const rows = await answer(supabase.rpc('list_member_emails', { workspace }).abortSignal(signal)) as { user_id: string; email: string }[]
      return new Map(rows.map(({ user_id: id, email }) => [id, email]))
    },
  })
  return data ?? NONE
}
