import { expect, test } from 'vitest'
import { Refusal } from '../../data/client'
import { placed } from './refusals'

const at = (message: string, code = '22023') => {
  const { column, path } = placed(new Refusal(message, 400, code, null, null))
  return [column, path]
}

test('a refusal belongs to the column that it names', () => {
  expect(at('scheduled_jobs.timezone: "Mars" is not allowed; expected an IANA time zone')).toEqual(['timezone', ''])
  expect(at('quota max_timeout_seconds: scheduled_jobs.timeout_seconds: 900 is not allowed; expected at most 600')).toEqual(['timeout_seconds', ''])
  expect(at('quota min_interval_seconds: scheduled_jobs.schedule {"seconds": 1} is due every 1 s at times; limit 10')).toEqual(['schedule', ''])
  expect(at('quota max_active_jobs: 1 more job is not allowed; limit 5, used 5, left 0')).toEqual([null, ''])
  expect(at('duplicate key value violates unique constraint "scheduled_jobs_job_id_key"', '23505')).toEqual(['job_id', ''])
  expect(at('permission denied')).toEqual([null, ''])
})

test('a refusal of a payload belongs to the field that it names', () => {
  const metadata = 'scheduled_jobs.metadata: '
  expect(at(`${metadata}{"home.zip": "1"} is not allowed; expected "home.zip" of handler "mail" to be string of the form ^[0-9]{5}$`)).toEqual(['metadata', 'home.zip'])
  expect(at(`${metadata}{"a": 1} is not allowed; expected the key "home.street", which handler "mail" requires`)).toEqual(['metadata', 'home.street'])
  expect(at(`${metadata}"[redacted]" is not allowed; expected the key "to", which handler "mail" requires`)).toEqual(['metadata', 'to'])
  expect(at(`${metadata}{"extra": 1} is not allowed; expected only the keys that handler "mail" has: to`)).toEqual(['metadata', 'extra'])
  expect(at(`${metadata}{"metadata": []} is not allowed; expected "metadata" of handler "mail" to be object`)).toEqual(['metadata', ''])
  expect(at('quota max_payload_bytes: scheduled_jobs.metadata of 99999 bytes is not allowed; limit 100')).toEqual(['metadata', ''])
})
