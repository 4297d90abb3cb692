import { expect, test } from 'vitest'
import { startOf } from './alert-of-group'

const sample = { id: 'r-1', scheduled_job_id: 7, job_id: 'a', name: null, handler: 'email', reason: null, error: 'no', completed_at: '2026-11-30T09:00:00Z' }

test('a rule begins with the narrowest that has all failures of the group', () => {
  expect(startOf({ jobs: 1, handlers: ['email'], sample })).toEqual({ condition: 'failed', scheduled_job_id: 7 })
  expect(startOf({ jobs: 3, handlers: ['email'], sample })).toEqual({ condition: 'failed', handler: 'email' })
  expect(startOf({ jobs: 3, handlers: ['email', 'sms'], sample })).toEqual({ condition: 'failed', handler: null })
})
