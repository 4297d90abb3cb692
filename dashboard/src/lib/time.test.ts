import { expect, test } from 'vitest'
import { clockTime, exactTime, shortTime, zoneOf } from './time'

const AT = Date.parse('2026-11-01T05:30:00.250Z')

test('an instant is shown in the zone that was chosen', () => {
  expect(clockTime(AT, 'UTC')).toBe('05:30')
  expect(clockTime(AT, 'America/New_York')).toBe('01:30')
  expect(zoneOf('utc', 'Asia/Tokyo')).toBe('UTC')
  expect(zoneOf('job', 'Asia/Tokyo')).toBe('Asia/Tokyo')
})

test('the hour that comes twice is told apart by its offset', () => {
  const [first, second] = [AT, AT + 3_600_000].map((at) => exactTime(at, 'America/New_York'))
  expect(first).toContain('01:30:00.250')
  expect(second).toContain('01:30:00.250')
  expect(first).not.toBe(second)
})

test('a table shows the time of today, and the date of other days', () => {
  expect(shortTime(AT, 'UTC', AT + 1000)).toBe('05:30:00')
  expect(shortTime(AT, 'UTC', AT + 172_800_000)).toBe('1 Nov, 05:30')
  expect(shortTime(AT, 'UTC', AT + 40_000_000_000)).toContain('2026')
})

test('a zone that the browser lacks is shown as UTC', () => {
  expect(clockTime(AT, 'Mars/Olympus')).toBe('05:30')
})
