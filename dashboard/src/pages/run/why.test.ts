import { expect, test } from 'vitest'
import { EXPLANATIONS, why } from './why'

const JOB = {
  id: 7, job_id: 'a', name: null, handler: 'send_report', job_type: null, status: 'scheduled', trigger_type: 'daily', timezone: 'Europe/Berlin',
  metadata: '{}', error: null, created_by: null, source: null, overlap: 'skip', misfire: 'skip', misfire_grace_seconds: 60, max_attempts: 4,
  retry_delay_seconds: 5, retry_backoff: 2, timeout_seconds: 300, priority: 0, concurrency_key: 'mail', store_result: true,
} as const
const NOW = Date.parse('2026-11-30T12:00:00Z')

function said(run: { status: string; reason?: string | null; attempt?: number; run_at?: string | null; job?: object }): string {
  const facts = { reason: null, attempt: 1, run_at: null, follower: null, ...run, job: { ...JOB, ...run.job } }
  const found = why(facts as never, NOW)
  return (found?.says ?? []).map((part) => (typeof part === 'string' ? part : part.value === undefined ? part.setting : `${part.setting} = ${part.value}`)).join('')
}

test('a skip names the setting that decided, with its value', () => {
  expect(said({ status: 'skipped', reason: 'overlap' })).toBe('It did not run: the previous run had not ended, and the job has overlap = skip.')
  expect(said({ status: 'skipped', reason: 'misfire' })).toContain('misfire_grace_seconds = 60')
  expect(said({ status: 'skipped', reason: 'misfire' })).toContain('misfire = skip')
})

test('one word has another meaning for a run that waits, and one that was replaced', () => {
  expect(said({ status: 'queued', reason: 'overlap', job: { overlap: 'queue' } })).toBe('It waits until the previous run ends: the job has overlap = queue.')
  expect(said({ status: 'cancelled', reason: 'overlap', job: { overlap: 'replace' } })).toContain('overlap = replace')
})

test('a word of the handler is shown as it is, also one that objects have by themselves', () => {
  expect(said({ status: 'failed', reason: 'card_declined' })).toBe('The handler ended the run itself: reason = card_declined.')
  expect(said({ status: 'failed', reason: 'constructor' })).toContain('reason = constructor')
})

test('what waits says for what', () => {
  expect(said({ status: 'queued', run_at: '2026-11-30T12:00:05Z' })).toBe('It waits for its time.')
  expect(said({ status: 'queued', run_at: '2026-11-30T12:00:05Z', attempt: 2 })).toContain('retry_delay_seconds = 5')
  expect(said({ status: 'queued', run_at: '2026-11-30T11:59:59Z' })).toContain('waits for a listener with a free slot')
  expect(why({ ...facts(), job: { ...JOB, error: 'no live listener has it' } } as never, NOW)?.helps).toBe('no live listener has it')
})

const facts = () => ({ status: 'queued', reason: null, attempt: 1, run_at: null, follower: null })

test('an error says which attempt it was of how many', () => {
  expect(said({ status: 'failed', attempt: 4 })).toBe('The handler raised an error in attempt 4 of at most max_attempts = 4.')
  expect(why({ ...facts(), status: 'failed', follower: 2, job: JOB } as never, NOW)?.helps).toBe('Attempt 2 followed.')
  expect(why({ ...facts(), status: 'failed', job: JOB } as never, NOW)?.helps).toContain('No other attempt followed')
})

test('what runs or completed needs no reason', () => {
  expect([said({ status: 'completed' }), said({ status: 'running' })]).toEqual(['', ''])
})

test('every word has a sentence for every status', () => {
  for (const reason of Object.keys(EXPLANATIONS)) {
    for (const status of ['skipped', 'queued', 'failed', 'cancelled']) expect(said({ status, reason })).toMatch(/\.$/)
  }
})
