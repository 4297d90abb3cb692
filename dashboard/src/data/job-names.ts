import { answer, supabase } from './client'

/** The names of jobs, by their ids; a job that is gone has none, and the name of one without is null. */
export async function namesOf(jobs: number[], signal: AbortSignal): Promise<Map<number, string | null>> {
  if (jobs.length === 0) return new Map()
  const rows = await answer(supabase.from('scheduled_jobs').select('id,name').in('id', jobs).abortSignal(signal))
  return new Map(rows.map((row) => [row.id as number, row.name as string | null]))
}
