import { cp, readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { silent } from '../../src/core/log.ts'
import type { WriteOptions } from '../../src/core/storage.ts'
import type { Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrations.ts'
import type { StoreOptions, StoreSeams } from '../../src/store/store.ts'
import { manualClock } from '../support/clock.ts'
import { all, enrollment, opened, put, start, temporary } from './fixtures.ts'

const relaxed: WriteOptions = { durability: 'interval' }

/** A store whose writes and syncs are noted in order. */
async function observed(options: Partial<StoreOptions> = {}) {
  const directory = await temporary()
  const clock = manualClock(start)
  const events: string[] = []
  const seams = {
    async aroundBatch(write, _operations, sync) {
      await write()
      events.push(sync ? 'synced batch' : 'batch')
    },
    async aroundSync(sync) {
      await sync()
      events.push('sync')
      for (const resolve of settled.splice(0)) resolve()
    },
  } satisfies StoreSeams
  const settled: (() => void)[] = []
  const store = await opened(directory, { clock, ...options }, seams)
  const set = (key: string, how: WriteOptions = relaxed) => store.write((tx) => put(tx, `${key}@alice`, key), how)
  return {
    ...{ store, directory, clock, events, set },
    /** Resolves when the next sync has ended. */
    synced: () => new Promise<void>((resolve) => settled.push(resolve)),
  }
}

/** What another process would find if this one were killed now. */
async function copyOf(directory: string): Promise<string> {
  const copy = join(await temporary(), 'killed')
  await cp(directory, copy, { recursive: true })
  return copy
}

const idsOf = async (store: Awaited<ReturnType<typeof opened>>) =>
  (await all(store.commits.entries())).map(({ commitId }) => commitId)

test('changes in interval mode are acknowledged unsynced, and one sync an interval later serves them all', async () => {
  const { clock, events, set, synced } = await observed({ intervalMs: 500 })
  await set('first')
  expect(events.splice(0)).toEqual(['synced batch'])
  await set('a')
  await set('b')
  clock.advance(499)
  expect(events).toEqual(['batch', 'batch'])
  const done = synced()
  clock.advance(1)
  await done
  expect(events).toEqual(['batch', 'batch', 'sync'])
  clock.advance(10_000)
  expect(events).toHaveLength(3)
})

test('a change that asks for the flash is on it first, and takes along what was acknowledged before', async () => {
  const { clock, events, set } = await observed()
  await set('first')
  await set('a')
  events.length = 0
  await set('b', { durability: 'group' })
  expect(events).toEqual(['sync', 'synced batch'])
  clock.advance(10_000)
  expect(events).toHaveLength(2)
})

test('the store has a mode of its own for changes that name none', async () => {
  const { events, set } = await observed({ durability: 'interval' })
  await set('first')
  await set('a', {})
  await set('b', { durability: 'group' })
  expect(events).toEqual(['synced batch', 'batch', 'sync', 'synced batch'])
})

test('secrets and enrollments are on flash before anybody hears of them, whatever the mode', async () => {
  const { store, events, set } = await observed({ durability: 'interval' })
  await set('first')
  events.length = 0
  await store.write((tx) => tx.putSecret('s', 'x'))
  await store.write((tx) => tx.putEnrollment(enrollment('e')))
  expect(events).toEqual(['synced batch', 'synced batch'])
})

test('after a sync that fails nothing counts as synced that was not written again', async () => {
  const [directory, clock] = [await temporary(), manualClock(start)]
  const lines: string[] = []
  let attempts = 0
  const aroundSync = async (): Promise<void> => {
    attempts += 1
    // Of what it could not write the kernel says nothing more.
    if (attempts === 1) throw new Error('input/output error')
  }
  const log = (level: string, message: string) => lines.push(`${level} ${message}`)
  const store = await opened(directory, { clock, log }, { aroundSync })
  await store.write((tx) => put(tx, 'first@alice', '1'), relaxed)
  await store.write((tx) => put(tx, 'a@alice', '1'), relaxed)
  const [log1 = ''] = (await readdir(join(directory, 'level'))).filter((name) => name.endsWith('.log'))
  clock.advance(2000)
  await expect
    .poll(() => lines)
    .toEqual([
      'error changes could not be brought to flash; they are written again',
      'warn the database was opened again; commit ids that may have been lost stay unused',
    ])
  const next = await store.write((tx) => put(tx, 'b@alice', '1'), relaxed)
  const copy = await copyOf(directory)
  for (const name of await readdir(join(copy, 'level'))) {
    expect(name).not.toBe(log1)
    if (name.endsWith('.log')) await truncate(join(copy, 'level', name))
  }
  expect(await idsOf(await opened(copy))).toEqual([0, 1])
  expect(next).toBe(1001)
})

test('a change that asks for the flash fails with the sync of what it builds on, and the next one finds all of it written again', async () => {
  const [directory, clock] = [await temporary(), manualClock(start)]
  let fails = false
  const aroundSync = async (sync: () => Promise<void>): Promise<void> => {
    if (fails) throw new Error('input/output error')
    await sync()
  }
  const store = await opened(directory, { clock }, { aroundSync })
  await store.write((tx) => put(tx, 'first@alice', '1'), relaxed)
  await store.write((tx) => put(tx, 'a@alice', '1'), relaxed)
  fails = true
  await expect(store.write((tx) => put(tx, 'b@alice', '1'))).rejects.toThrow('input/output error')
  fails = false
  expect(await store.write((tx) => put(tx, 'c@alice', '1'))).toBe(1001)
  expect(await idsOf(store)).toEqual([0, 1, 1001])
})

test('a format is marked only when everything of it is on flash, in older logs too', async () => {
  const events: string[] = []
  const note = (event: string) => async (): Promise<void> => {
    events.push(event)
  }
  const database = { syncLog: note('sync') } as unknown as Database
  await migrate(database, 1, { migrations: [{ to: 2, run: note('change') }], log: silent }, note('mark'))
  expect(events).toEqual(['change', 'sync', 'mark'])
})

test('an id that was told is never issued again, although its change was lost', async () => {
  const { store, directory, set, events, clock, synced } = await observed()
  await set('first')
  await set('kept')
  const done = synced()
  clock.advance(2000)
  await done
  const [log = ''] = (await readdir(join(directory, 'level'))).filter((name) => name.endsWith('.log'))
  const { size } = await stat(join(directory, 'level', log))
  expect(await set('lost')).toBe(2)
  expect(events.at(-1)).toBe('batch')
  expect(store.commits.lastId()).toBe(2)

  const copy = await copyOf(directory)
  await truncate(join(copy, 'level', log), size)
  const again = await opened(copy)
  expect(await idsOf(again)).toEqual([0, 1])
  expect(again.commits.lastId()).toBe(1)
  expect(await all(again.commits.gaps())).toEqual([{ from: 2, to: 1000 }])
  expect(await again.write((tx) => put(tx, 'next@alice', '1'))).toBe(1001)
  await again.close()
  expect(await idsOf(await opened(copy))).toEqual([0, 1, 1001])
})

test('what was acknowledged outlives the process, and the ids behind it stay unused', async () => {
  const { directory, set } = await observed()
  for (const key of ['a', 'b', 'c']) await set(key)
  const lines: unknown[] = []
  const copy = await copyOf(directory)
  const again = await opened(copy, { log: (level, message, members) => lines.push([level, message, members]) })
  expect(await idsOf(again)).toEqual([0, 1, 2])
  expect(lines).toEqual([['warn', expect.stringContaining('not closed cleanly'), { from: 3, to: 1000 }]])
  expect(await again.write((tx) => put(tx, 'd@alice', '1'), relaxed)).toBe(1001)
})

test('a store that was closed cleanly has no gap', async () => {
  const { store, directory, set, events } = await observed()
  await set('a')
  await set('b')
  await store.close()
  expect(events).toEqual(['synced batch', 'batch', 'sync', 'synced batch'])
  const again = await opened(directory)
  expect(await again.write((tx) => put(tx, 'c@alice', '1'), relaxed)).toBe(2)
  expect(await all(again.commits.gaps())).toEqual([])
})

test('a long run in interval mode syncs once for every block of ids', async () => {
  const { events, set } = await observed()
  for (let n = 0; n < 1002; n++) await set(`k${n % 10}`)
  expect(events.filter((event) => event === 'synced batch')).toHaveLength(2)
})
