import { expect, test } from 'vitest'
import { fieldsOf } from './fields'

test('what pydantic emits reads as types', () => {
  const fields = fieldsOf({
    properties: {
      to: { type: 'array', items: { type: 'string', format: 'email' }, description: 'Whom' },
      level: { $ref: '#/$defs/Level', default: 'info' },
      after: { anyOf: [{ type: 'integer' }, { type: 'null' }], default: null },
      anything: {},
    },
    required: ['to'],
    $defs: { Level: { enum: ['debug', 'info'] } },
  })
  expect(fields.map((field) => field.type)).toEqual(['string (email)[]', '"debug" | "info"', 'integer | null', 'any'])
  expect(fields[0]).toMatchObject({ isRequired: true, description: 'Whom' })
  expect(fields[1]).toMatchObject({ isRequired: false, initial: '"info"' })
})

test('a schema that refers to itself ends', () => {
  const schema = { properties: { child: { $ref: '#/$defs/Node' } }, $defs: { Node: { anyOf: [{ $ref: '#/$defs/Node' }] } } }
  expect(fieldsOf(schema)[0]?.type).toContain('…')
})
