import { expect, test } from 'vitest'
import { right } from './session'

const workspace = (role: 'viewer' | 'editor' | 'admin') => ({ id: 'w', name: 'Sales', role, isOurs: true })

test('a viewer is told who may', () => {
  expect(right(workspace('viewer'), ['editor', 'admin'])).toEqual({ isAllowed: false, why: 'You are a viewer of Sales; this takes an editor or an admin.' })
  expect(right(workspace('editor'), ['admin']).why).toBe('You are an editor of Sales; this takes an admin.')
})

test('who may, may, and everybody may with private jobs', () => {
  expect(right(workspace('editor'), ['editor', 'admin']).isAllowed).toBe(true)
  expect(right(undefined, ['admin']).isAllowed).toBe(true)
})
