import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Store } from '../../src/core/storage.ts'
import { type Snapshots, startSnapshots } from '../../src/services/snapshots.ts'
import { listSnapshots, saveSnapshot } from '../../src/store/snapshot-files.ts'
import { opened, put, temporary } from '../store/fixtures.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { until } from '../support/network.ts'

const hour = 3_600_000
const day = 24 * hour

interface World {
  readonly clock: ManualClock
  readonly store: Store
  readonly folder: string
  readonly logged: string[]
  readonly snapshots: Snapshots
  change(): Promise<unknown>
  files(): Promise<number[]>
}

async function world(options: { keep?: number; before?: (store: Store, folder: string) => Promise<unknown> } = {}) {
  const clock = manualClock()
  const directory = await temporary()
  const folder = join(directory, 'snapshots')
  const store = await opened(directory, { clock })
  await store.write((tx) => put(tx, 'a.sensors@alice', '1'))
  await options.before?.(store, folder)
  const logged: string[] = []
  const snapshots = await startSnapshots({
    ...{ store, folder, clock, intervalMs: day, keep: options.keep ?? 2, random: () => 0.5 },
    log: (level, message) => void logged.push(`${level} ${message}`),
  })
  const made: World = {
    ...{ clock, store, folder, logged, snapshots },
    change: () => store.write((tx) => put(tx, 'a.sensors@alice', '2')),
    files: async () => (await listSnapshots(folder)).map(({ number }) => number),
  }
  return made
}

/** Lets what a timer has started come to its end: the next timer is set then. */
async function settled({ logged }: World, count: number): Promise<void> {
  await until(() => logged.length >= count)
  await new Promise((resolve) => setImmediate(resolve))
}

test('the first snapshot is made soon after the start, then one an interval, and so many are kept', async () => {
  const it = await world()
  it.clock.advance(299_999)
  expect(await it.files()).toEqual([])
  it.clock.advance(1)
  await settled(it, 1)
  expect(await it.files()).toEqual([1])
  for (const round of [2, 3]) {
    await it.change()
    it.clock.advance(day)
    await settled(it, round)
  }
  expect(await it.files()).toEqual([3, 2])
  expect(await it.snapshots.status()).toEqual({
    kept: 2,
    newest: { time: new Date(it.clock.now()).toISOString(), lastCommitId: 2 },
  })
  await it.snapshots.close()
})

test('nothing is written while nothing changes', async () => {
  const it = await world()
  it.clock.advance(300_000)
  await settled(it, 1)
  it.clock.advance(day)
  await new Promise((resolve) => setImmediate(resolve))
  await it.change()
  it.clock.advance(day)
  await settled(it, 2)
  expect(await it.files()).toEqual([2, 1])
  await it.snapshots.close()
})

test('a device that starts anew goes on with the schedule', async () => {
  const it = await world({ before: (store, folder) => saveSnapshot(folder, store.snapshot(), { keep: 2 }) })
  it.clock.advance(day - 1)
  expect(it.logged).toEqual([])
  it.clock.advance(1)
  await settled(it, 1)
  expect(await it.files()).toEqual([2, 1])
  await it.snapshots.close()
})

test('a failure is logged, shown and tried again within the hour', async () => {
  const it = await world({ before: (_store, folder) => writeFile(folder, 'a file in the way') })
  it.clock.advance(300_000)
  await settled(it, 1)
  expect(it.logged[0]).toBe('error a snapshot of the store could not be made and is tried again')
  await rm(it.folder)
  expect(await it.snapshots.status()).toMatchObject({ kept: 0, problem: expect.stringContaining('EEXIST') })
  it.clock.advance(hour)
  await settled(it, 2)
  expect(await it.snapshots.status()).toEqual({ kept: 1, newest: expect.anything() })
  await it.snapshots.close()
})

test('closing stops a snapshot under way and leaves nothing of it', async () => {
  const it = await world({
    async before(store, folder) {
      await store.write(async (tx) => {
        for (let i = 0; i < 100; i += 1) await put(tx, `big${i}.sensors@alice`, 'x'.repeat(20_000))
      })
      await mkdir(folder)
    },
  })
  it.clock.advance(300_000)
  await until(async () => (await readdir(it.folder)).length > 0)
  await it.snapshots.close()
  expect(await readdir(it.folder)).toEqual([])
  expect(it.logged).toEqual([])
})
