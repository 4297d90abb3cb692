import { useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { answer, supabase } from '../data/client'
import { useSession, useTenancy } from '../data/session'
import { nameIsLike } from '../pages/jobs/filter'
import { go } from '../lib/urls'
import type { Command } from '../ui/keys'

const MOST = 6
const FEWEST_LETTERS = 2
const PAUSE_MILLISECONDS = 200

/** Commands that open the jobs whose names have what is typed, and the list of all of them. */
export function useFoundJobs(typed: string): Command[] {
  const { workspace } = useTenancy()
  const { user } = useSession()
  const [settled, setSettled] = useState('')
  useEffect(() => {
    const timer = setTimeout(() => setSettled(typed.trim()), PAUSE_MILLISECONDS)
    return () => clearTimeout(timer)
  }, [typed])
  const { data } = useQuery({
    queryKey: ['found-jobs', workspace, settled],
    enabled: settled.length >= FEWEST_LETTERS,
    staleTime: 30_000,
    queryFn: async ({ signal }) => {
      const jobs = supabase.from('scheduled_jobs').select('id,name,job_id')
      const ours = workspace ? jobs.eq('workspace_id', workspace) : jobs.is('workspace_id', null).eq('created_by', user?.id ?? '')
      return await answer(ours.or(nameIsLike(settled)).order('id', { ascending: false }).limit(MOST).abortSignal(signal))
    },
  })
  if (!typed) return []
  const found = settled === typed.trim() ? data ?? [] : []
  return [
    ...found.map((job) => ({ title: `Job ${job.name ?? job.job_id}`, run: () => go(`/jobs/${job.id}`) })),
    { title: `Find jobs named “${typed}”`, run: () => go(`/jobs?name=${encodeURIComponent(typed)}`) },
  ]
}
