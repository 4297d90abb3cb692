import { render } from 'preact'
import { act } from 'preact/test-utils'
import { useState } from 'react'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Faults } from './check'
import hard from './fixtures/hard.json'
import handlers from './fixtures/handlers.json'
import { type JsonObject, readJson, writeJson } from './json'
import { SchemaForm } from './SchemaForm'
import type { Schema } from './schema'
import { startOf } from './values'

const HARD = hard as unknown as Schema
const handler = (name: string) => (handlers as unknown as Record<string, Schema>)[name] as Schema
let root: HTMLElement
let held: JsonObject

beforeEach(() => {
  root = document.createElement('div')
  document.body.append(root)
})
afterEach(() => {
  render(null, root)
  root.remove()
})

function show(schema: Schema, text?: string, refusals?: Faults) {
  function Holder() {
    const [value, setValue] = useState<JsonObject>(() => (text === undefined ? startOf(schema, schema) : readJson(text)) as JsonObject)
    held = value
    return <SchemaForm id="f" schema={schema} value={value} onChange={setValue} showsAll={false} {...(refusals && { refusals })} />
  }
  act(() => render(<Holder />, root))
}

const at = <T extends HTMLElement>(path: string) => document.getElementById(`f-${path}`) as T
const named = (name: string) => [...root.querySelectorAll<HTMLButtonElement>('button')].find((b) => (b.getAttribute('aria-label') ?? b.textContent) === name)
const press = (name: string) => act(() => (named(name) as HTMLButtonElement).click())
function type(path: string, text: string) {
  const field = at<HTMLInputElement>(path)
  act(() => {
    field.value = text
    field.dispatchEvent(new Event(field.tagName === 'SELECT' ? 'change' : 'input', { bubbles: true }))
  })
}
const leave = (path: string) => act(() => void at(path).dispatchEvent(new FocusEvent('focusout', { bubbles: true })))

test('a form of a handler writes the payload that it shows, and leaves defaults to the handler', () => {
  show(handler('webhook'))
  expect(writeJson(held, 0)).toBe('{}')
  type('url', 'https://x.test')
  type('timeout_seconds', '2.50')
  type('method', '0')
  expect(writeJson(held, 0)).toBe('{"url":"https://x.test","timeout_seconds":2.50,"method":"GET"}')
  expect(at<HTMLInputElement>('timeout_seconds').placeholder).toBe('30')
  type('method', '-1')
  type('timeout_seconds', '')
  expect(writeJson(held, 0)).toBe('{"url":"https://x.test"}')
})

test('a number keeps its digits, and what is none is named at the field', () => {
  show(HARD, '{"big":9007199254740993}')
  expect(at<HTMLInputElement>('big').value).toBe('9007199254740993')
  type('big', '123456789012345678901')
  expect(writeJson(held, 0)).toBe('{"big":123456789012345678901}')
  type('big', '12a')
  leave('big')
  const field = at('big')
  expect(field.getAttribute('aria-invalid')).toBe('true')
  expect(document.getElementById(field.getAttribute('aria-describedby') ?? '')?.textContent).toBe('Must be a whole number')
})

test('a field says nothing before somebody left it, and what is required is announced', () => {
  show(handler('sms'))
  expect(root.querySelector('.field-fault')).toBeNull()
  expect(at('to').getAttribute('aria-required')).toBe('true')
  leave('to')
  expect([...root.querySelectorAll('.field-fault')].map((p) => p.textContent)).toEqual(['Required'])
})

test('what the database refused is shown at its field', () => {
  show(handler('sms'), '{"to":"+15550100","message":"x"}', new Map([['message', 'expected a poem']]))
  expect(document.getElementById('f-message-fault')?.textContent).toBe('expected a poem')
})

test('a list grows and shrinks, and empties to nothing', () => {
  show(HARD, '{}')
  press('Add to Tags')
  type('tags.0', 'a')
  press('Add to Tags')
  type('tags.1', 'b')
  expect(held).toEqual({ tags: ['a', 'b'] })
  press('Remove Tags 1')
  expect([held, at<HTMLInputElement>('tags.0').value]).toEqual([{ tags: ['b'] }, 'b'])
  press('Remove Tags 1')
  expect(held).toEqual({})
})

test('a map takes keys one after another, and never loses a value to a key that comes twice', () => {
  show(handler('webhook'), '{"url":"https://x.test","headers":{"X-Api-Key":"k","A":"1"}}')
  expect(at<HTMLInputElement>('headers.X-Api-Key').type).toBe('password')
  expect(at<HTMLInputElement>('headers.A').type).toBe('text')
  const keys = () => [...root.querySelectorAll<HTMLInputElement>('[aria-label^="Key "]')]
  act(() => {
    const second = keys()[1] as HTMLInputElement
    second.value = 'X-Api-Key'
    second.dispatchEvent(new Event('input', { bubbles: true }))
  })
  expect(root.textContent).toContain('This key comes twice')
  expect(held.headers).toEqual({ 'X-Api-Key': 'k' })
  act(() => {
    const second = keys()[1] as HTMLInputElement
    second.value = 'B'
    second.dispatchEvent(new Event('input', { bubbles: true }))
  })
  expect(held.headers).toEqual({ 'X-Api-Key': 'k', B: '1' })
})

test('a union shows the fields of what was chosen, and its tag is written', () => {
  show(HARD, '{}')
  const kind = root.querySelector<HTMLSelectElement>('[aria-label="Kind of Pet"]') as HTMLSelectElement
  expect([...kind.options].map((option) => option.textContent)).toEqual(['cat', 'dog'])
  act(() => {
    kind.value = '1'
    kind.dispatchEvent(new Event('change', { bubbles: true }))
  })
  type('pet.owner', 'Ada')
  expect(held).toEqual({ pet: { kind: 'dog', owner: 'Ada' } })
})

test('a recursive model opens one level at a time', () => {
  show(HARD, '{}')
  press('Add Tree')
  type('tree.name', 'a')
  press('Add to Children')
  type('tree.children.0.name', 'b')
  expect(held).toEqual({ tree: { name: 'a', children: [{ name: 'b' }] } })
})

test('what has no field of its own is edited as JSON, and broken JSON changes nothing', () => {
  show(HARD, '{"pair":[1,"a"]}')
  type('pair', '[9007199254740993,')
  expect(writeJson(held, 0)).toBe('{"pair":[1,"a"]}')
  expect(document.getElementById('f-pair-fault')?.textContent).toMatch(/line 1, column 19/)
  type('pair', '[9007199254740993,"b"]')
  expect(writeJson(held, 0)).toBe('{"pair":[9007199254740993,"b"]}')
  expect(document.getElementById('f-pair-fault')).toBeNull()
})

test('keys that the schema does not name are kept and shown', () => {
  show(handler('notification'), '{"recipient_id":"x","message":"m","extra":{"n":1}}')
  expect(root.textContent).toContain('Other keys')
  type('message', 'n')
  expect(held).toEqual({ recipient_id: 'x', message: 'n', extra: { n: 1 } })
})

test('a secret is covered, and titles and texts of a schema are texts', () => {
  show({ type: 'object', properties: { a: { type: 'string', format: 'password', writeOnly: true, title: '<img src=x>', description: '<b>' } } }, '{}')
  expect(at<HTMLInputElement>('a').type).toBe('password')
  expect(root.querySelector('img, b')).toBeNull()
  press('Show <img src=x>')
  expect(at<HTMLInputElement>('a').type).toBe('text')
})

test('schemas that go round in circles are shown all the same', () => {
  const $defs: Record<string, Schema> = {
    Nothing: { $ref: '#/$defs/Nothing' },
    Itself: { anyOf: [{ $ref: '#/$defs/Itself' }, { type: 'null' }] },
    Lists: { type: 'array', items: { $ref: '#/$defs/Lists' } },
    Tree: { anyOf: [{ type: 'string' }, { type: 'array', items: { $ref: '#/$defs/Tree' } }] },
    Endless: { type: 'object', properties: { next: { $ref: '#/$defs/Endless' } }, required: ['next'] },
  }
  const properties = Object.fromEntries(Object.keys($defs).map((name) => [name, { $ref: `#/$defs/${name}` }]))
  show({ type: 'object', properties, $defs, required: ['Endless', 'Tree'] }, '{"Tree":["a",["b",["c"]]],"Itself":1}')
  expect(root.querySelectorAll('[data-path]').length).toBeGreaterThan(5)
  show({ type: 'object', properties, $defs, required: Object.keys(properties) })
  expect(JSON.stringify(held).length).toBeLessThan(1000)
})

test('every control has a name', () => {
  show(HARD)
  for (const field of root.querySelectorAll<HTMLInputElement>('input, select, textarea')) {
    expect(field.getAttribute('aria-label') || field.labels?.[0]?.textContent || field.closest('label')?.textContent).toBeTruthy()
  }
})
