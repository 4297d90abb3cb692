import { expect, test } from 'vitest'
import { readJson, writeJson } from '../../form/json'
import { changesOf, type Draft, draftOf, insertOf, newDraft } from './draft'
import { exactRow } from './row'

const ROW = {
  id: 7, job_id: 'k', workspace_id: null, created_by: 'u', name: 'n', description: null, handler: 'mail', job_type: null,
  metadata_text: '{"n": 9007199254740993, "money": 0.10}', trigger_type: 'cron', schedule: { expression: '0 9 * * *' },
  timezone: 'Europe/Berlin', run_date: '2026-03-07T12:00:00.123456+00:00', ends_at: null, max_runs: null, status: 'scheduled',
  max_attempts: 4, retry_delay_seconds: 5, retry_backoff: 2, timeout_seconds: 300, priority: 0, overlap: 'skip', misfire: 'run_once',
  misfire_grace_seconds: 60, dst_gap: 'run_after', dst_fold: 'first', concurrency_key: null, cleanup_after_days: null,
  store_result: true, source: null, revision: 12,
}
const row = (parts: object = {}) => exactRow({ ...ROW, ...parts })

test('a draft that nobody touched changes nothing, whatever the job is', () => {
  const schedules = [
    { trigger_type: 'once', schedule: {} },
    { trigger_type: 'interval', schedule: { seconds: 0.1 } },
    { trigger_type: 'interval', schedule: { seconds: 90 } },
    { trigger_type: 'interval', schedule: { seconds: 7200 } },
    { trigger_type: 'daily', schedule: { time: '8:00:30' } },
    { trigger_type: 'weekly', schedule: { time: '10:00', days: ['friday', 'monday'] } },
    { trigger_type: 'monthly', schedule: { time: '10:00', days: [-1, 1], missing_day: 'skip' } },
    { trigger_type: 'cron', schedule: { expression: '@daily' } },
  ]
  for (const each of schedules) {
    const given = row({ ...each, ends_at: '2027-01-01T00:00:00+00:00', max_runs: 5, retry_backoff: 1.5, concurrency_key: 'k', test_mode: true })
    expect(changesOf(given, draftOf(given))).toEqual({})
  }
})

test('only what was changed is written, with exact numbers', () => {
  const given = row()
  const draft: Draft = { ...draftOf(given), texts: { ...draftOf(given).texts, name: '', priority: '5' }, payload: readJson('{"n":9007199254740995}') as Draft['payload'] }
  const changes = changesOf(given, draft)
  expect(writeJson(changes, 0)).toBe('{"name":null,"metadata":{"n":9007199254740995},"priority":5}')
})

test('a time is of the zone of the job, and one that is edited is its own', () => {
  const given = row()
  expect(changesOf(given, { ...draftOf(given), timezone: 'Asia/Tokyo' })).toEqual({ timezone: 'Asia/Tokyo' })
  expect(changesOf(given, { ...draftOf(given), runDate: { local: '2026-03-07T09:00' } })).toEqual({ run_date: '2026-03-07T08:00:00.000Z' })
  const plain = row({ run_date: '2026-03-07T12:00:00+00:00' })
  expect(changesOf(plain, { ...draftOf(plain), runDate: { local: '2026-03-07T13:00' } })).toEqual({})
})

test('a new job says nothing that the database says itself', () => {
  expect(insertOf(newDraft('UTC', 'noop'), null)).toEqual({ handler: 'noop' })
  const draft: Draft = { ...newDraft('Europe/Berlin', 'mail'), trigger: 'weekly', weekdays: ['monday'], payload: { a: 1 }, testMode: true }
  expect(insertOf(draft, 'w')).toEqual({
    workspace_id: 'w', handler: 'mail', metadata: { a: 1 }, trigger_type: 'weekly', schedule: { time: '09:00', days: ['monday'] },
    timezone: 'Europe/Berlin', test_mode: true,
  })
})

test('what is no number goes to the database as it is, which says what it wants', () => {
  expect(insertOf({ ...newDraft('UTC', 'noop'), texts: { ...newDraft('UTC').texts, priority: 'high' } }, null)).toEqual({ handler: 'noop', priority: 'high' })
})
