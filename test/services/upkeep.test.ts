import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Notification } from '../../src/core/notification.ts'
import type { Store } from '../../src/core/storage.ts'
import { lossText, startUpkeep } from '../../src/services/upkeep.ts'
import { all, bare, opened, put, start, temporary } from '../store/fixtures.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'

const hourMs = 3_600_000

async function filled(): Promise<string> {
  const directory = await temporary()
  const store = await opened(directory)
  for (const name of ['a', 'b', 'c']) await store.write((tx) => put(tx, `${name}@alice`, 'value'))
  await store.close()
  return directory
}

async function rot(directory: string, key: string): Promise<void> {
  const database = await bare(directory)
  await database.batch([{ key, value: Buffer.from('rot') }], true)
  await database.close()
}

function upkeep(store: Store, clock: ManualClock): Notification[] {
  const seen: Notification[] = []
  const received = (notification: Notification) => seen.push(notification)
  const log = () => {}
  onTestFinished(startUpkeep({ self: '@alice', store, received, scrubPerDay: 86_400_000, clock, log }))
  return seen
}

/** Lets time pass until the check has gone round so many times. */
async function rounds(store: Store, clock: ManualClock, count: number): Promise<void> {
  const wanted = store.health().scrub.rounds + count
  while (store.health().scrub.rounds < wanted) {
    clock.advance(10_000)
    await new Promise(setImmediate)
  }
}

test('the owner is told what the start had to do, by a notification that is stored', async () => {
  const directory = await filled()
  await unlink(join(directory, 'level', 'CURRENT'))
  const store = await opened(directory)
  const seen = upkeep(store, manualClock(start))
  await expect.poll(() => seen).toHaveLength(1)
  expect(seen[0]).toMatchObject({
    from: '@alice',
    to: '@alice',
    messageType: 'text',
    type: 'received',
    isEncrypted: false,
  })
  expect(seen[0]?.key).toMatch(/^@alice:atedge met damage in its store\. .*repaired/)
  expect((await all(store.notifications.since(0))).map(({ id }) => id)).toEqual(seen.map(({ id }) => id))
})

test('what was lost stands in the report of later starts until the owner was told, and a week longer', async () => {
  const directory = await filled()
  await unlink(join(directory, 'level', 'CURRENT'))
  await (await opened(directory)).close()
  const second = await opened(directory)
  expect(second.health()).toMatchObject({
    state: 'sound',
    report: { at: start, steps: [expect.any(String), expect.any(String)], untold: 2 },
  })
  const seen = upkeep(second, manualClock(start))
  await expect.poll(() => second.health().report?.untold).toBe(0)
  await second.close()
  const third = await opened(directory, { clock: manualClock(start + 6 * 24 * hourMs) })
  expect(third.health().report?.steps.join()).toContain('repaired')
  upkeep(third, manualClock(start))
  await third.scrub(1_000)
  await third.close()
  expect(seen).toHaveLength(1)
  const fourth = await opened(directory, { clock: manualClock(start + 8 * 24 * hourMs) })
  expect(fourth.health().report).toBeUndefined()
  expect(await all(fourth.notifications.since(0))).toHaveLength(1)
  await fourth.close()
  expect(await readdir(directory)).not.toContain('losses.json')
})

test('damage that the check finds is told once, and more of it an hour later at the earliest', async () => {
  const directory = await filled()
  await rot(directory, '!records!a@alice')
  await rot(directory, '!records!b@alice')
  const clock = manualClock(start)
  const store = await opened(directory, { clock })
  const seen = upkeep(store, clock)
  await rounds(store, clock, 2)
  await expect.poll(() => seen).toHaveLength(1)
  expect(seen[0]?.key).toContain('Lost or damaged: record a@alice, record b@alice')
  await store.write((tx) => put(tx, 'd@alice', '1'))
  await rounds(store, clock, 2)
  expect(seen).toHaveLength(1)
  clock.advance(hourMs)
  await rounds(store, clock, 2)
  expect(seen).toHaveLength(1)
})

test('a sound store is checked and says nothing', async () => {
  const clock = manualClock(start)
  const store = await opened(await filled(), { clock })
  const seen = upkeep(store, clock)
  await rounds(store, clock, 2)
  expect(seen).toEqual([])
})

test('what the owner reads is bounded, on one line, and says how much more there is', () => {
  const findings = Array.from({ length: 100 }, (_, number) => ({
    what: 'record',
    key: `key${number}@alice`,
    cause: 'x',
  }))
  const scrub = { rounds: 0, bytes: 0 }
  const health = { state: 'repaired', healed: 0, quarantined: 0, scrub } as const
  const text = lossText({
    ...health,
    report: { at: start, steps: ['it was repaired'], findings, found: 500, untold: 501 },
  })
  expect(text.length).toBeLessThan(1_100)
  expect(text).not.toMatch(/\n/)
  const short = lossText({
    ...health,
    report: { at: start, steps: [], findings: findings.slice(0, 2), found: 7, untold: 7, since: 0 },
  })
  expect(short).toBe(
    'atedge met damage in its store. Lost or damaged: record key0@alice, record key1@alice, 5 more. ' +
      'Changes after 1970-01-01T00:00:00.000Z may be missing',
  )
})
