import { expect, test } from 'vitest'
import { type JsonObject, readJson } from '../../form/json'
import { asCurl, asJavaScript, asSql } from './snippets'

const columns = { handler: "o'clock", metadata: readJson('{"n":9007199254740993,"t":"it\'s \\\\ $HOME"}') as JsonObject, max_runs: 3, name: null }

test('SQL is quoted, and its numbers are exact', () => {
  expect(asSql({ id: null, columns })).toBe(
    `insert into public.scheduled_jobs (handler, metadata, max_runs, name)
values (
  'o''clock',
  '{"n":9007199254740993,"t":"it''s \\\\ $HOME"}',
  3,
  null
);`)
  expect(asSql({ id: 7, columns: { priority: 5 } })).toBe('update public.scheduled_jobs\nset\n  priority = 5\nwhere id = 7;')
  expect(asSql({ id: 7, columns: {} })).toBe('-- nothing changes')
})

test('JavaScript is what evaluates to the row, unless it would round', () => {
  expect(asJavaScript({ id: null, columns })).toBeUndefined()
  const plain = { handler: "o'clock \"x\" \\ \n", metadata: { 'a-b': [1, { c: true }], d: {} }, name: null }
  const text = asJavaScript({ id: null, columns: plain }) ?? ''
  const object = text.replace("await supabase.from('scheduled_jobs').insert(", '').slice(0, -1)
  expect(new Function(`return ${object}`)()).toEqual(plain)
  expect(asJavaScript({ id: 7, columns: { priority: 5 } })).toBe("await supabase.from('scheduled_jobs').update({\n  priority: 5,\n}).eq('id', 7)")
})

test('a shell takes curl as it is', () => {
  const text = asCurl({ id: null, columns }, { url: 'http://x', key: 'k' })
  expect(text).toContain(`-d '{"handler":"o'\\''clock","metadata":{"n":9007199254740993,"t":"it'\\''s \\\\ $HOME"},"max_runs":3,"name":null}'`)
  expect(asCurl({ id: 7, columns: { priority: 5 } }, { url: 'http://x', key: 'k' })).toContain(`curl 'http://x/rest/v1/scheduled_jobs?id=eq.7' -X PATCH`)
})
