import { expect, test } from 'vitest'
import { enabledOf, nameOf } from './providers'

test('providers are offered that the project has switched on', () => {
  const external = { email: true, phone: true, anonymous_users: true, github: true, google: true, apple: false }
  expect(enabledOf({ external }).map(nameOf)).toEqual(['GitHub', 'Google'])
  expect(enabledOf({})).toEqual([])
})
