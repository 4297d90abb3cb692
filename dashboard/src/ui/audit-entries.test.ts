import { expect, test } from 'vitest'
import { differences } from './audit-entries'

test('each changed column has its old and its new value, exactly', () => {
  expect(differences('{"metadata":[{"n":9007199254740993},{"n":9007199254740994}],"name":[null,"a"],"ends_at":["2026-01-01",null]}')).toEqual([
    { column: 'metadata', before: '{"n":9007199254740993}', after: '{"n":9007199254740994}' },
    { column: 'name', before: null, after: 'a' },
    { column: 'ends_at', before: '2026-01-01', after: null },
  ])
})

test('what is said beside the columns is shown as new', () => {
  expect(differences('{"test_mode":true}')).toEqual([{ column: 'test_mode', before: null, after: 'true' }])
})
