import { expect, test } from 'vitest'
import { curlOf, javascriptOf, sqlOf } from './snippets'

const VALUES = { url: 'https://abc.supabase.co', key: 'sb_publishable_1', token: 'eyJ', workspace: 'w-1' }

test('each snippet inserts the job into the workspace that is open', () => {
  expect(javascriptOf(VALUES)).toContain('workspace_id: "w-1"')
  expect(curlOf(VALUES)).toContain('"workspace_id":"w-1"')
  expect(sqlOf(VALUES)).toContain("(name, handler, workspace_id)\nvalues ('My first job', 'noop', 'w-1')")
})

test('a private job names no workspace', () => {
  for (const snippet of [javascriptOf, curlOf, sqlOf]) expect(snippet({ ...VALUES, workspace: null })).not.toContain('workspace_id')
})

test('a quote in a value ends no string', () => {
  expect(javascriptOf({ ...VALUES, key: `a"b` })).toContain(String.raw`"a\"b"`)
  expect(curlOf({ ...VALUES, key: "a'b" })).toContain(String.raw`'apikey: a'\''b'`)
})
