import { beforeEach, expect, test } from 'vitest'
import { changed, currentPlace, go, hashHref, inWorkspace } from './urls'

beforeEach(() => go('/?workspace=w-1', { replace: true }))

test('a link stays in the workspace that is open', () => {
  expect(hashHref('/runs?status=failed')).toBe('#/runs?status=failed&workspace=w-1')
  expect(inWorkspace('/jobs?workspace=w-2')).toBe('/jobs?workspace=w-2')
})

test('a page and its filter are what the URL says', () => {
  go('/runs?status=failed')
  expect(currentPlace()).toEqual({ path: '/runs', search: 'status=failed&workspace=w-1' })
})

test('a part of the filter changes, and the others stay', () => {
  expect(changed('/runs', 'status=failed&workspace=w-1', { status: null, handler: 'a b&c' })).toBe('/runs?workspace=w-1&handler=a+b%26c')
  expect(changed('/runs', 'status=failed', { status: '' })).toBe('/runs')
})
