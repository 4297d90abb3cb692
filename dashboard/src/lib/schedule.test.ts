import { expect, test } from 'vitest'
import { loadCronWords, ordinal, scheduleWords } from './schedule'

const words = (trigger_type: string, schedule: Record<string, unknown>) => scheduleWords({ trigger_type, schedule, timezone: 'UTC' })

test('each kind of schedule is said in words', () => {
  expect(words('once', {})).toBe('Once')
  expect(words('interval', { seconds: 90 })).toBe('Every 1 min 30 s')
  expect(words('daily', { time: '08:00' })).toBe('Every day at 08:00')
  expect(words('weekly', { time: '10:00', days: ['friday', 'monday'] })).toBe('Mondays and Fridays at 10:00')
  expect(words('weekly', { time: '10:00', days: ['monday', 'tuesday', 'wednesday', 'thursday', 'friday'] })).toBe('Monday to Friday at 10:00')
  expect(words('monthly', { time: '09:00', days: [-1, 1, 22, -2] })).toBe('Each month on the 1st, the 22nd, the 2nd last day and the last day at 09:00')
})

test('a cron expression is said in words once they are loaded, and shown where there are none', async () => {
  expect(words('cron', { expression: '0 9 * * 1-5' })).toBe('0 9 * * 1-5')
  await loadCronWords()
  expect(words('cron', { expression: '0 9 * * 1-5' })).toBe('At 09:00, Monday through Friday')
  expect(words('cron', { expression: '* * * * * */15' })).toBe('Every 15 seconds')
  expect(words('cron', { expression: 'nonsense' })).toBe('nonsense')
})

test('a schedule that somebody broke does not break the page', () => {
  expect(words('weekly', {})).toBe(' at ')
  expect(words('later', {})).toBe('later')
  expect([1, 2, 3, 4, 11, 12, 13, 21, 111].map(ordinal)).toEqual(['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '111th'])
})
