import { expect, test } from 'vitest'
import { matching } from './palette'

const command = (title: string) => ({ title, run: () => undefined })

test('the words that are typed may stand anywhere, in any order', () => {
  const found = matching([command('Go to jobs'), command('Pause the job'), command('New job')], 'job go')
  expect(found.map(({ title }) => title)).toEqual(['Go to jobs'])
})

test('what begins with the word comes first', () => {
  expect(matching([command('A new job'), command('New job')], 'new').map(({ title }) => title)).toEqual(['New job', 'A new job'])
})
