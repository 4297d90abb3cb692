import { describe, expect, test } from 'vitest'
import { CONDITIONS, sentenceOf, type Condition } from './data'
import { wordsOf } from './would-have-fired'

const rule = { condition: 'failing' as Condition, threshold: null, handler: null, scheduled_job_id: null }

describe('a rule in words', () => {
  test('has the default where no threshold is set, and says what it looks at', () => {
    expect(sentenceOf(rule)).toBe('When one job fails 3 times in a row')
    expect(sentenceOf({ ...rule, condition: 'late', threshold: 90, handler: 'email' })).toBe('When a run begins more than 1 min 30 s late with handler email')
    expect(sentenceOf({ ...rule, condition: 'failed', scheduled_job_id: 7 })).toBe('When a run fails for good in job 7')
  })
  test('exists for every condition', () => {
    for (const condition of Object.keys(CONDITIONS) as Condition[]) expect(sentenceOf({ ...rule, condition })).toMatch(/^When .{10,}$/)
  })
})

test('what would have fired is counted, bounded, or said to be unknown', () => {
  const preview = { alerts: 3, occurrences: 41, days: 7, more: false, replayable: true }
  expect(wordsOf(preview)).toBe('Would have fired 3 times last week, for 41 runs.')
  expect(wordsOf({ ...preview, alerts: 1, occurrences: 10_000, more: true })).toContain('at least 10,000 runs')
  expect(wordsOf({ ...preview, alerts: 0 })).toBe('Would not have fired last week.')
  expect(wordsOf({ ...preview, replayable: false })).toContain('in no ledger')
})
