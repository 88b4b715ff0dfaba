import { expect, test } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import { limits } from '../../src/core/limits.ts'
import { silent } from '../../src/core/log.ts'
import { createVisits } from '../../src/services/visits.ts'
import { opened, start, temporary } from '../store/fixtures.ts'
import { manualClock } from '../support/clock.ts'

async function world(directory: string, maxCounters?: number) {
  const clock = manualClock(start)
  const syncs: boolean[] = []
  const store = await opened(
    directory,
    {},
    {
      aroundBatch: (write, _operations, sync) => {
        syncs.push(sync)
        return write()
      },
    },
  )
  const visits = await createVisits({
    store,
    clock,
    log: silent,
    ...(maxCounters === undefined ? {} : { maxCounters }),
  })
  return { clock, store, visits, syncs }
}
const lookedUp = (text: string) => ({ verb: 'lookup', key: parseAtKey(text) }) as const

test('visits are written every ten minutes at most, unsynced, and nothing is written without any', async () => {
  const { clock, store, visits, syncs } = await world(await temporary())
  clock.advance(10 * limits.visitsMs)
  expect(syncs).toEqual([])
  for (let count = 0; count < 500; count++) visits.record(lookedUp('phone@alice'))
  clock.advance(limits.visitsMs - 1)
  expect(syncs).toEqual([])
  clock.advance(1)
  await store.write(async () => {})
  expect(syncs).toEqual([false])
  clock.advance(10 * limits.visitsMs)
  await store.write(async () => {})
  expect(syncs).toEqual([false])
})

test('they survive a restart', async () => {
  const directory = await temporary()
  const before = await world(directory)
  before.visits.record({ verb: 'pol', atSign: '@bob' })
  before.visits.record(lookedUp('@bob:phone.wavi@alice'))
  before.clock.advance(1_000)
  before.visits.record({ verb: 'pkam' })
  before.visits.record({ verb: 'pol', atSign: '@bob' })
  await before.visits.close()
  await before.store.close()
  const { visits } = await world(directory)
  expect(visits.topAtSigns()).toEqual({ '@bob': 2 })
  expect(visits.topKeys()).toEqual({ 'phone.wavi@alice': 1 })
  expect(visits.last('visit')).toBe(start + 1_000)
  expect(visits.last('pkam')).toBe(start + 1_000)
  visits.record({ verb: 'pol', atSign: '@bob' })
  expect(visits.topAtSigns()).toEqual({ '@bob': 3 })
})

test('so many are counted and no more; the rarest give way, on flash as well', async () => {
  const directory = await temporary()
  const { store, visits } = await world(directory, 3)
  for (let count = 0; count < 5; count++) visits.record({ verb: 'pol', atSign: '@often' })
  for (const atSign of ['@a', '@b', '@c', '@d'] as const) visits.record({ verb: 'pol', atSign })
  expect(visits.topAtSigns()).toEqual({ '@often': 5, '@c': 1, '@d': 1 })
  await visits.close()
  const names: string[] = []
  for await (const [name] of store.visits.entries()) names.push(name)
  expect(names).toEqual(['pol/@c', 'pol/@d', 'pol/@often', 'time/visit'])
})

test('five are shown, the most frequent first; hidden keys are not counted', async () => {
  const { visits } = await world(await temporary())
  for (let index = 1; index <= 7; index++) {
    for (let count = 0; count < index; count++) visits.record(lookedUp(`k${index}@alice`))
  }
  for (let count = 0; count < 20; count++) visits.record(lookedUp('_proof@alice'))
  expect(Object.entries(visits.topKeys())).toEqual([
    ...[
      ['k7@alice', 7],
      ['k6@alice', 6],
      ['k5@alice', 5],
      ['k4@alice', 4],
      ['k3@alice', 3],
    ],
  ])
})
