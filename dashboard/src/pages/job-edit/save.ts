import { answer, Refusal, supabase } from '../../data/client'
import { changesOf, definitionIn, differing, type Draft, insertOf } from './draft'
import { type Definition, fetchJob, type JobRow, updateJob } from './row'

/** What became of a write: the job's id; or, where somebody else changed the job meanwhile, the job as it is now. */
export type Saved = { id: number; changed: number } | { theirs: JobRow; mine: Definition }

const MOST_TRIES = 5

export async function insertJob(draft: Draft, workspace: string | null, hasTestMode: boolean): Promise<Saved> {
  const row = insertOf(draft, workspace)
  if (!hasTestMode) delete row.test_mode
  const [inserted] = await answer<{ id: number }[] | null>(supabase.from('scheduled_jobs').insert(row).select('id'))
  if (!inserted) throw new Refusal('The job was written, but you may not see it.', 403, '', null, null)
  return { id: inserted.id, changed: Object.keys(row).length }
}

/** Writes what the draft changes of the job, unless its definition changed since `base` was read. A run changes its revision, too. */
export async function saveJob(base: JobRow, draft: Draft): Promise<Saved> {
  const mine = changesOf(base, draft)
  const changed = Object.keys(mine).length
  if (changed === 0) return { id: base.id, changed }
  let { revision } = base
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    if (await updateJob(base.id, revision, mine)) return { id: base.id, changed }
    const theirs = await fetchJob(base.id, AbortSignal.timeout(30_000))
    if (!theirs) throw new Refusal('The job was deleted meanwhile, or is no longer yours to see.', 404, '', null, null)
    if (theirs.revision === revision) throw new Refusal('You may see this job, but not change it.', 403, '', null, null)
    if (Object.keys(differing(definitionIn(theirs), definitionIn(base))).length > 0) return { theirs, mine }
    revision = theirs.revision
  }
  throw new Refusal('The job changes faster than it can be written; try again, or pause it first.', 409, '', null, null)
}
