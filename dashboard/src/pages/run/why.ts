import type { JobOfRun, Run } from '../../data/runs'

/** A setting that decided: a column of the job, with its value, or a variable of the listener. */
export interface Setting {
  setting: string
  value?: string
}

/** Why a run did not run, waits, or ended as it did: a sentence with the settings that caused it, and what helps. */
export interface Why {
  says: (string | Setting)[]
  helps?: string
}

/** `follower` is the attempt after this one, null where there is none. */
type Facts = Pick<Run, 'status' | 'reason' | 'attempt' | 'run_at'> & { job: JobOfRun; follower: number | null }
type Explanation = (run: Facts) => Why

const of = (job: JobOfRun, column: keyof JobOfRun): Setting => ({ setting: column, value: String(job[column]) })

function afterwards({ follower }: Facts): { helps: string } {
  return { helps: follower === null ? 'No other attempt followed: none was left, or the handler allows fewer.' : `Attempt ${follower} followed.` }
}

const MISFIRES: Record<string, string> = {
  run_once: 'one run stands for all that were missed',
  run_all: 'more instants were missed than are made up for',
  skip: 'what was missed is not made up for',
}

const OVERLAPS: Record<string, Explanation> = {
  skipped: ({ job }) => ({
    says: ['It did not run: the previous run had not ended, and the job has ', of(job, 'overlap'), '.'],
    helps: '“queue” lets the next run wait, “replace” stops the previous one, “allow” runs both.',
  }),
  queued: ({ job }) => ({ says: ['It waits until the previous run ends: the job has ', of(job, 'overlap'), '.'] }),
  cancelled: ({ job }) => ({ says: ['It was stopped because the next instant was due: the job has ', of(job, 'overlap'), '.'] }),
}

/** By the ledger's words; docs/operations.md has the same, and a test compares them. */
export const EXPLANATIONS: Record<string, Explanation> = {
  overlap: (run) => (OVERLAPS[run.status] ?? OVERLAPS.skipped)!(run),
  misfire: ({ job }) => ({
    says: [
      'It did not run: the service came later than ', of(job, 'misfire_grace_seconds'), ' allows, and with ', of(job, 'misfire'), ' ',
      `${MISFIRES[job.misfire] ?? 'it was passed over'}.`,
    ],
    helps: 'A longer grace lets late runs start; “run_all” makes up for every missed instant.',
  }),
  paused: () => ({ says: ['It did not run: the job was paused when it was due.'], helps: 'Instants that pass while a job is paused are skipped. Resume the job for the next ones.' }),
  concurrency: ({ job }) => ({
    says: ['It waits for a run with the same ', of(job, 'concurrency_key'), ' to end: at most ', { setting: 'LISTENER_KEY_CONCURRENCY' }, ' of them run at a time.'],
  }),
  no_handler: ({ job }) => ({
    says: ['It did not run: no live listener had the handler ', { setting: 'handler', value: job.handler }, ' for ', { setting: 'LISTENER_NO_HANDLER_SECONDS' }, '.'],
    helps: 'Start a listener that has the handler, and retry the job.',
  }),
  invalid_payload: ({ job }) => ({
    says: ['It did not run: ', { setting: 'metadata' }, ' does not fit what the handler ', { setting: 'handler', value: job.handler }, ' takes; the error names the field.'],
    helps: 'Edit the job’s payload, or replay this run with another one.',
  }),
  invalid_schedule: ({ job }) => ({
    says: ['It did not run: the listener could not compute the schedule’s instants. Its zone database may lack ', of(job, 'timezone'), '.'],
    helps: 'The job stays scheduled, and goes on with a listener that can compute it.',
  }),
  not_exposed: ({ job }) => ({
    says: ['It did not run: a user wrote the job, and the handler ', { setting: 'handler', value: job.handler }, ' is not ', { setting: 'exposed', value: 'true' }, '.'],
    helps: 'Whoever runs the listener decides, by @handler(…, exposed=True), which handlers users may schedule.',
  }),
  retry: (run) => ({ says: ['The handler asked for another attempt, of at most ', of(run.job, 'max_attempts'), '.'], ...afterwards(run) }),
  snoozed: () => ({ says: ['The handler put itself off, which uses up no attempt.'] }),
  snooze: () => ({ says: ['The handler put itself off to an instant that no calendar has.'] }),
  invalid_result: () => ({
    says: ['The handler did its work, but what it returned is not JSON.'],
    helps: 'There is no further attempt: repeating the work would not change the program.',
  }),
  timeout: (run) => ({
    says: ['It was stopped: it took longer than ', of(run.job, 'timeout_seconds'), ', or than the handler allows.'],
    ...afterwards(run),
  }),
  lease_lost: (run) => ({
    says: ['The listener that ran it died, or lost the database for longer than ', { setting: 'LISTENER_LEASE_SECONDS' }, '.'],
    ...(run.status === 'cancelled' ? {} : afterwards(run)),
  }),
  shutdown: (run) => ({
    says: ['The listener was stopped, and the run did not end within ', { setting: 'LISTENER_DRAIN_SECONDS' }, '.'],
    ...afterwards(run),
  }),
  cancelled: () => ({ says: ['Somebody cancelled the job.'], helps: 'The job’s audit says who.' }),
  edited: () => ({ says: ['It was withdrawn: the job was edited before it began.'], helps: 'The job’s audit says who edited what.' }),
  deleted: () => ({ says: ['The job was deleted while this ran.'] }),
  unwritable: () => ({
    says: ['The database refused what the run ended with; the error has its code.'],
    helps: 'A trigger or a constraint of your own on these tables may be the cause. Retry once it is fixed.',
  }),
  worker_died: (run) => ({ says: ['The process that ran the handler died: it may have run out of memory.'], ...afterwards(run) }),
  task_cancelled: (run) => ({ says: ['A task of the handler was cancelled, though nobody asked for that.'], ...afterwards(run) }),
}

/** Null for a run that simply runs, or completed. */
export function why(run: Facts, now: number): Why | null {
  const { status, reason, job, attempt } = run
  if (status === 'completed' || status === 'running') return null
  if (reason !== null) {
    const known = Object.hasOwn(EXPLANATIONS, reason) ? EXPLANATIONS[reason] : undefined
    return known?.(run) ?? { says: ['The handler ended the run itself: ', { setting: 'reason', value: reason }, '.'], helps: 'There is no further attempt.' }
  }
  if (status === 'queued') return waiting(run, now)
  if (status === 'failed') {
    return { says: ['The handler raised an error in attempt ', `${attempt}`, ' of at most ', of(job, 'max_attempts'), '.'], ...afterwards(run) }
  }
  return { says: [`It is ${status}; the ledger does not say why.`] }
}

function waiting({ job, attempt, run_at }: Facts, now: number): Why {
  if (run_at !== null && Date.parse(run_at) > now) {
    if (attempt === 1) return { says: ['It waits for its time.'] }
    return { says: ['The next attempt waits: the first pause is ', of(job, 'retry_delay_seconds'), ', and each is longer by ', of(job, 'retry_backoff'), '.'] }
  }
  if (job.error) return { says: ['It is due and waits; the job’s error says for what.'], helps: job.error }
  return {
    says: ['It is due, and waits for a listener with a free slot.'],
    helps: 'The page Listeners shows whether one is alive. A quota, such as max_running, may hold a workspace’s runs back.',
  }
}
