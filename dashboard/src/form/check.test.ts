import { expect, test } from 'vitest'
import { check } from './check'
import handlers from './fixtures/handlers.json'
import hard from './fixtures/hard.json'
import { type Json, readJson } from './json'
import type { Schema } from './schema'

const HANDLERS = handlers as unknown as Record<string, Schema | null>
const HARD = hard as unknown as Schema
const FITTING = '{"pet":{"kind":"dog","owner":"A"},"level":2,"at":"2026-03-07T12:00:00Z","home":{"street":"1","zip":"12345"},"secret":"s","flag":false}'

const faultsOf = (schema: Schema, text: string) => Object.fromEntries(check(readJson(text), schema))
const handler = (name: string) => HANDLERS[name] as Schema
const hardWith = (parts: Record<string, Json>) => Object.fromEntries(check({ ...(readJson(FITTING) as object), ...parts }, HARD))

test('payloads that handlers take have no faults', () => {
  expect(faultsOf(handler('webhook'), '{"url":"https://x.test/a","headers":{"X-Key":"1"},"expected_status":[200,204]}')).toEqual({})
  expect(faultsOf(handler('email'), '{"to":["a@x.test"],"subject":null,"values":{"n":9007199254740993}}')).toEqual({})
  expect(faultsOf(HARD, FITTING)).toEqual({})
})

test('each fault is at its field, in words', () => {
  expect(faultsOf(handler('webhook'), '{"method":"FETCH","timeout_seconds":0,"extra":1,"headers":{"A":1}}')).toEqual({
    url: 'Required',
    method: 'Must be one of GET, HEAD, POST, PUT, PATCH, DELETE',
    timeout_seconds: 'Must be more than 0',
    extra: 'The handler knows no such key',
    'headers.A': 'Must be a text',
  })
  expect(faultsOf(handler('webhook'), '{"url":"nope","timeout_seconds":"soon","expected_status":[1.5]}')).toEqual({
    url: 'Must be an address with its scheme, such as https://example.com',
    timeout_seconds: 'Must be a number',
    'expected_status.0': 'Must be a whole number',
  })
  expect(faultsOf(handler('sms'), '{"to":"0301234","message":""}')).toEqual({
    to: 'Must have the form ^\\+[1-9][0-9]{6,14}$',
    message: 'Must not be empty',
  })
})

test('faults inside of objects, lists, unions and recursive models have their path', () => {
  expect(hardWith({ pet: { kind: 'cat', lives: 12 } })).toEqual({ 'pet.lives': 'Must be at most 9' })
  expect(hardWith({ pet: { kind: 'dog' } })).toEqual({ 'pet.owner': 'Required' })
  expect(hardWith({ home: { street: '', zip: '1' } })).toEqual({ 'home.street': 'Must not be empty', 'home.zip': 'Must have the form ^[0-9]{5}$' })
  expect(hardWith({ addresses: [{ street: 'a', zip: '12345' }, { street: 'b' }] })).toEqual({ 'addresses.1.zip': 'Required' })
  expect(hardWith({ tree: { name: 'a', children: [{ name: 'b', children: [{ name: 1 }] }] } })).toEqual({
    'tree.children.0.children.0.name': 'Must be a text',
  })
  expect(hardWith({ nested: [[1], [2, 'x']] })).toEqual({ 'nested.1.1': 'Must be a whole number' })
  expect(hardWith({ flag: null, day: null, letter: null })).toEqual({ flag: 'Must not be null' })
})

test('what no single field shows is found all the same', () => {
  expect(hardWith({ tags: ['a', 'a'] })).toEqual({ tags: 'Must not have an item twice' })
  expect(Object.keys(hardWith({ pair: [1] }))).toEqual(['pair'])
  const bounded = { type: 'object', additionalProperties: true, maxProperties: 1 } satisfies Schema
  expect(Object.keys(faultsOf(bounded, '{"a":1,"b":2}'))).toEqual([''])
})

test('integers beyond doubles are whole numbers, and are compared with their bounds', () => {
  expect(hardWith({ big: readJson('123456789012345678901234567890') })).toEqual({})
  expect(hardWith({ big: readJson('9007199254740993.5') })).toEqual({ big: 'Must be a whole number' })
  expect(faultsOf({ type: 'object', properties: { n: { type: 'integer', maximum: 5 } } }, '{"n":9007199254740993}')).toEqual({ n: 'Must be at most 5' })
})

test('what a model may read in its own way is left to it', () => {
  expect(faultsOf(handler('event_reminder'), '{"event":7}')).toEqual({})
  expect(hardWith({ at: '2026-03-07 12:00', clock: '10:00', span: '90' })).toEqual({})
})

test('patterns and properties with the names of keywords do not confuse it', () => {
  expect(faultsOf({ type: 'object', properties: { a: { type: 'string', pattern: '(?P<x>a)' } } }, '{"a":"b"}')).toEqual({})
  expect(hardWith({ format: 1 as Json })).toEqual({ format: 'Must be a text' })
  expect(hardWith({ default: 'x', format: 'y' })).toEqual({})
})

test('a schema that refers to what it has not refuses nothing', () => {
  expect(faultsOf({ type: 'object', properties: { a: { $ref: '#/$defs/Gone' } } }, '{"a":1}')).toEqual({})
})
