import { expect, test } from 'vitest'
import { isExactNumber, parseExact, pretty, stringifyExact } from './exact'
import { unmarked } from './marks'

const EXACT = '{"big":9007199254740993,"money":0.10,"long":1.00000000000000000001,"e":1e400,"small":7,"text":"9007199254740993"}'

test('numbers that JavaScript would round keep their text', () => {
  expect(stringifyExact(parseExact(EXACT))).toBe(EXACT)
  expect(pretty('[12345678901234567890]')).toBe('[\n  12345678901234567890\n]')
})

test('numbers that JavaScript holds are numbers', () => {
  expect(parseExact('{"a":7,"b":-2.5,"c":0}')).toEqual({ a: 7, b: -2.5, c: 0 })
  expect(isExactNumber(parseExact('9007199254740993'))).toBe(true)
})

test('a request is sent with the exact numbers', () => {
  expect(unmarked(JSON.stringify(parseExact(EXACT)))).toBe(EXACT)
})

test('a text that looks like a marked number stays a text', () => {
  expect(unmarked(JSON.stringify({ a: 'mark:1' }))).toBe('{"a":"mark:1"}')
})

test('what is no JSON is shown as it is', () => {
  expect(pretty('{oops')).toBe('{oops')
})
