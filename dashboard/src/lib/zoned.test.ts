import { expect, test } from 'vitest'
import { allZones, instantOf, isZone, localOf } from './zoned'

const iso = (local: string, zone: string) => instantOf(local, zone)?.toISOString() ?? null

test('a local time and its instant are told apart by the zone', () => {
  expect(localOf(new Date('2026-03-07T12:00:00Z'), 'America/New_York')).toBe('2026-03-07T07:00:00')
  expect(iso('2026-03-07T07:00', 'America/New_York')).toBe('2026-03-07T12:00:00.000Z')
  expect(iso('2026-07-01T00:00:30', 'Asia/Kolkata')).toBe('2026-06-30T18:30:30.000Z')
  expect(iso('2026-01-01T00:00', 'UTC')).toBe('2026-01-01T00:00:00.000Z')
})

test('where clocks change, a time that does not exist comes later and one that comes twice is the first', () => {
  expect(iso('2026-03-08T02:30', 'America/New_York')).toBe('2026-03-08T07:30:00.000Z') // 03:30
  expect(iso('2026-11-01T01:30', 'America/New_York')).toBe('2026-11-01T05:30:00.000Z')
  expect(iso('2026-03-29T02:30', 'Europe/Berlin')).toBe('2026-03-29T01:30:00.000Z')
})

test('every hour of a year comes back', () => {
  for (let at = Date.UTC(2026, 0, 1); at < Date.UTC(2027, 0, 1); at += 3_600_000) {
    const local = localOf(new Date(at), 'Australia/Lord_Howe')
    expect(localOf(instantOf(local, 'Australia/Lord_Howe') as Date, 'Australia/Lord_Howe')).toBe(local)
  }
})

test('what is no time and what is no zone is said to be none', () => {
  expect([iso('', 'UTC'), iso('soon', 'UTC')]).toEqual([null, null])
  expect([isZone('Europe/Berlin'), isZone('Mars/Base')]).toEqual([true, false])
  expect(allZones()[0]).toBe('UTC')
})
