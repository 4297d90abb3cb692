import { expect, test } from 'vitest'
import hard from './fixtures/hard.json'
import handlers from './fixtures/handlers.json'
import { type Json, readJson } from './json'
import type { Schema } from './schema'
import { redacted, startOf, variantOf } from './values'

const HARD = hard as unknown as Schema
const WEBHOOK = (handlers as unknown as Record<string, Schema>).webhook as Schema

test('a payload starts as what is required and can be nothing else', () => {
  expect(startOf(HARD, HARD)).toEqual({ flag: false, home: {}, pet: { kind: 'cat' } })
  expect(startOf(WEBHOOK, WEBHOOK)).toEqual({})
})

test('a model that requires itself starts, too', () => {
  const endless = { $ref: '#/$defs/A', $defs: { A: { type: 'object', properties: { a: { $ref: '#/$defs/A' } }, required: ['a'] } } } as Schema
  expect(JSON.stringify(startOf(endless, endless)).length).toBeLessThan(200)
  const circle = { $ref: '#/$defs/B', $defs: { B: { $ref: '#/$defs/B' } } } as Schema
  expect(startOf(circle, circle)).toBeUndefined()
})

test('the kind of a value is found by its tag, its type and its keys', () => {
  const pets = HARD.properties?.pet?.oneOf ?? []
  expect(variantOf({ kind: 'dog', owner: 'x' }, pets, HARD, 'kind')).toBe(1)
  const mix: Schema[] = [{ type: 'integer' }, { type: 'string' }, { type: 'array', items: { type: 'string' } }, { type: 'object', additionalProperties: true }]
  const values: Json[] = [readJson('9007199254740993'), 'a', ['a'], { a: 1 }]
  expect(values.map((value) => variantOf(value, mix, {}))).toEqual([0, 1, 2, 3])
  const models: Schema[] = [
    { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' } }, required: ['a', 'b'], additionalProperties: false },
    { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'], additionalProperties: false },
  ]
  const either: Json[] = [{ a: 1, b: 'x' }, { a: 1 }]
  expect(either.map((value) => variantOf(value, models, {}))).toEqual([0, 1])
})

test('secrets of a payload are covered wherever its schema marks them, and nothing else is', () => {
  const given = readJson('{"secret":"s1","note":"s2","tokens":{"a":"s3"},"big":9007199254740993,"home":{"street":"x"}}')
  expect(redacted(given, HARD, HARD)).toEqual({
    secret: '[redacted]', note: '[redacted]', tokens: { a: '[redacted]' }, big: readJson('9007199254740993'), home: { street: 'x' },
  })
  expect(redacted(readJson('{"url":"u","headers":{"A":"s"}}'), WEBHOOK, WEBHOOK)).toEqual({ url: 'u', headers: { A: '[redacted]' } })
  const nested = { type: 'object', properties: { l: { items: { anyOf: [{ $ref: '#/$defs/S' }, { type: 'null' }] } } }, $defs: { S: { type: 'object', properties: { k: { secret: true } } } } } as unknown as Schema
  expect(redacted(readJson('{"l":[{"k":"s","o":1},null]}'), nested, nested)).toEqual({ l: [{ k: '[redacted]', o: 1 }, null] })
})
