import { expect, onTestFinished, test } from 'vitest'
import type { Notification } from '../../src/core/notification.ts'
import type { Store } from '../../src/core/storage.ts'
import { createCrowd } from '../../src/store/crowd.ts'
import { openDatabase } from '../../src/store/database.ts'
import { notificationKey, tables } from '../../src/store/layout.ts'
import { manualClock } from '../support/clock.ts'
import { idsIn, keep, notification, opened, start, temporary } from './fixtures.ts'

const second = 1_000
const most = (count: number) => ({ count, bytes: 1_000_000 })

/** Received one a second, from two atSigns in turn. */
const received = (count: number, first = 0): Notification[] =>
  Array.from({ length: count }, (_, index) =>
    notification(`id${first + index}`, {
      ...{ type: 'received', from: index % 2 === 0 ? '@bob' : '@carol', to: '@alice' },
      ...{ at: start + (first + index) * second, expiresAt: start + 1_000 * second },
    }),
  )

const thin = (store: Store, count: number, before = 1_000): Promise<number> =>
  store.thinOut('@bob', most(count), start + before * second)

test('the oldest of one sender go, until no more are held than that', async () => {
  const store = await opened(await temporary())
  await keep(store, received(8))
  expect(await thin(store, 4)).toBe(0)
  expect(await thin(store, 2)).toBe(2)
  expect(await idsIn(store)).toEqual(['id1', 'id3', 'id4', 'id5', 'id6', 'id7'])
  // Those that came meanwhile are found behind the place where the last round ended.
  await keep(store, received(4, 8))
  expect(await thin(store, 2)).toBe(2)
  expect(await idsIn(store)).toEqual(['id1', 'id3', 'id5', 'id7', 'id8', 'id9', 'id10', 'id11'])
})

test('none goes that is younger, and it goes once it is not', async () => {
  const store = await opened(await temporary())
  await keep(store, received(8))
  expect(await thin(store, 0, 3)).toBe(2)
  expect(await thin(store, 0, 3)).toBe(0)
  expect(await thin(store, 0)).toBe(2)
  expect(await idsIn(store)).toEqual(['id1', 'id3', 'id5', 'id7'])
})

test('what is dropped is gone from every index: the same one may come again, and expires once', async () => {
  const store = await opened(await temporary())
  const [one] = received(1)
  if (one === undefined) throw new Error('no notification')
  await keep(store, [one])
  expect(await thin(store, 0)).toBe(1)
  expect(await store.notifications.has(one)).toBe(false)
  expect(await store.sweep(start + 2_000 * second)).toBe(0)
  await keep(store, [one])
  expect(await store.sweep(start + 2_000 * second)).toBe(1)
})

test('what a failed change has not dropped is found again', async () => {
  const clock = manualClock(start)
  let fails = false
  const store = await opened(
    await temporary(),
    { clock },
    {
      async aroundBatch(write) {
        if (fails) throw new Error('no space left on device')
        await write()
      },
    },
  )
  await keep(store, received(8))
  fails = true
  await expect(thin(store, 0, 5)).rejects.toThrow('no space left')
  fails = false
  clock.advance(1_000)
  expect(await thin(store, 0)).toBe(4)
  expect(await idsIn(store)).toEqual(['id1', 'id3', 'id5', 'id7'])
})

test('the clock goes back, and what comes then is found', async () => {
  const store = await opened(await temporary())
  await keep(store, received(4, 500))
  expect(await thin(store, 0)).toBe(2)
  await keep(store, received(4))
  expect(await thin(store, 0, 100)).toBe(2)
  expect(await idsIn(store)).toEqual(['id1', 'id3', 'id501', 'id503'])
})

test('a round does not look again at what the last one has looked at', async () => {
  const database = await openDatabase(await temporary(), { create: true })
  onTestFinished(() => database.close())
  const [minutes, others] = [60_000, 600]
  const put = (at: number) => ({
    key: tables.notifications.prefix + notificationKey(at, `id${at}/r`),
    value: new Uint8Array(1),
  })
  await database.batch(
    Array.from({ length: others }, (_, index) => put(start + index)),
    false,
  )
  let looks = 0
  const thinOut = createCrowd({
    database,
    committed: { tryGet: () => void looks++ },
    writer: { write: () => Promise.reject(new Error('nothing is to be dropped')) },
  })
  const round = async (before: number): Promise<number> => {
    looks = 0
    expect(await thinOut('@bob', most(1), before)).toBe(0)
    return looks
  }
  expect(await round(start + minutes)).toBe(others)
  await database.batch([put(start + 1.5 * minutes)], false)
  expect(await round(start + 2 * minutes)).toBe(1)
  expect(await thinOut('@carol', most(1), start + 2 * minutes)).toBe(0)
  expect(await round(start + 3 * minutes)).toBe(0)
  // Whatever a repair may have brought back is found in the end.
  expect(await round(start + 12 * minutes)).toBe(others + 1)
})
