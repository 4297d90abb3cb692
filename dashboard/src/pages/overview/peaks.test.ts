import { expect, test } from 'vitest'
import { peaks } from './peaks'

test('jobs that crowd into ten minutes are a collision', () => {
  expect(peaks([0, 1, 24, 1, 0, 2])).toEqual([2])
})

test('few jobs, and jobs that are spread out, are none', () => {
  expect(peaks([0, 0, 9, 0])).toEqual([])
  expect(peaks([30, 31, 29, 30])).toEqual([])
})
