import { expect, test } from 'vitest'
import { bulkFilter, filterOf, isBulk, isNarrowed, listed, nameIsLike } from './filter'

const read = (query: string) => filterOf(new URLSearchParams(query))

test('the URL says the filter, and names with commas and percent signs come back', () => {
  const handlers = ['a,b', '100%', 'mail']
  expect(read(new URLSearchParams({ handler: listed(handlers), mine: 'yes', name: 'x' }).toString())).toEqual({
    status: [], handler: handlers, trigger: [], name: 'x', isMine: true, order: 'new',
  })
  expect([isNarrowed(read('')), isNarrowed(read('workspace=1')), isNarrowed(read('status=failed'))]).toEqual([false, false, true])
  expect(read('handler=%25').handler).toEqual(['%'])
})

test('an act on all is of the jobs that are listed', () => {
  expect(['', 'status=failed', 'mine=yes', 'order=next'].map((query) => isBulk(read(query)))).toEqual([true, true, false, false])
})

test('a bulk act names the workspace, also where nothing else is chosen', () => {
  expect(bulkFilter(read(''), null)).toEqual({ workspace_id: null })
  expect(bulkFilter(read('status=failed,paused&trigger=cron&name=a'), 'w')).toEqual({
    workspace_id: 'w', status: ['failed', 'paused'], trigger_type: ['cron'], name: 'a',
  })
})

test('what is searched for is a text, not a pattern', () => {
  expect(nameIsLike('50%_"a\\')).toBe(
    'name.ilike."*50\\\\%\\\\_\\"a\\\\\\\\*",and(name.is.null,job_id.ilike."*50\\\\%\\\\_\\"a\\\\\\\\*")',
  )
})
