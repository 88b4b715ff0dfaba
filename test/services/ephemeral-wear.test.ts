import { expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { manualClock } from '../support/clock.ts'
import { asOwner, startServer } from '../support/server.ts'

/** What an hour has the store write: of every batch its rows with their bytes, and whether it is synced. */
async function hour(does: { readonly readings: boolean; readonly visits: boolean }): Promise<string[]> {
  const batches: string[] = []
  const clock = manualClock()
  const target = await startServer({
    clock,
    seams: {
      aroundBatch(write, operations, sync) {
        batches.push(`${sync} ${operations.map(({ key, value }) => `${key} ${value?.length}`).join()}`)
        return write()
      },
    },
  })
  const owner = await asOwner(target)
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    // A change without an effect, behind all that have begun.
    await target.server.cramSecret()
  }
  // The login itself is a visit, and counted by then.
  await pass(limits.visitsMs)
  batches.length = 0
  for (let second = 0; second < 3_600; second += 10) {
    if (does.readings) {
      expect(await owner.ask(`notify:eph:@bob:vibration.p1.sensors@alice:${'v'.repeat(200)}`)).toMatch(/^data:[\w-]+\n/)
    }
    if (does.visits && second % 60 === 0) await owner.ask('plookup:publickey@bob')
    await pass(10_000)
  }
  return batches
}

test('an hour of ephemeral readings writes no byte', async () => {
  expect(await hour({ readings: true, visits: false })).toEqual([])
})

test('with visits to count it writes what an hour of visits writes without them, counters and the floor of the clock together', async () => {
  const [readings, quiet] = [
    await hour({ readings: true, visits: true }),
    await hour({ readings: false, visits: true }),
  ]
  expect(readings).toEqual(quiet)
  expect(new Set(quiet)).toEqual(new Set(['false !access!time/visit 18,!meta!clock-floor 18']))
  expect(quiet.length).toBeLessThanOrEqual(6)
})
