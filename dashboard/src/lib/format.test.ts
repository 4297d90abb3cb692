import { expect, test } from 'vitest'
import { bytes, compact, duration, percent, plural, relative } from './format'

test('durations have the unit that one thinks in', () => {
  const shown = [0, 0.85, 4.25, 12, 999.6, 1240, 59_949, 59_960, 200_000, 7_500_000, 273_600_000, -1500, null].map(duration)
  expect(shown).toEqual([
    '0 ms', '850 µs', '4.3 ms', '12 ms', '1000 ms', '1.24 s', '59.9 s', '1 min', '3 min 20 s', '2 h 5 min', '3 d 4 h', '−1.5 s', '–',
  ])
})

test('an instant is told from now', () => {
  expect([200_000, 0, -12_000, -400, -330_000, 128_000_000_000].map((at) => relative(at, 0))).toEqual(['in 3 min 20 s', 'now', '12 s ago', 'now', '5 min ago', 'in 4 y 21 d'])
})

test('sizes, parts and counts', () => {
  expect([340, 12_288, 3_565_158].map(bytes)).toEqual(['340 B', '12 KiB', '3.4 MiB'])
  expect([percent(1, 3), percent(999, 1000), percent(1, 1000), percent(1, 1e6), percent(0, 0)]).toEqual(['33 %', '99.9 %', '0.1 %', '< 0.1 %', '–'])
  expect([compact(950), compact(1_234_567), plural(1, 'job'), plural(2500, 'job')]).toEqual(['950', '1.2M', '1 job', '2,500 jobs'])
})
