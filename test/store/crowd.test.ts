import { expect, test } from 'vitest'
import type { Notification } from '../../src/core/notification.ts'
import type { Store } from '../../src/core/storage.ts'
import { notification, opened, start, temporary } from './fixtures.ts'

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

const keep = (store: Store, notifications: readonly Notification[]): Promise<void> =>
  store.write(async (tx) => {
    for (const each of notifications) await tx.putNotification(each)
  })

async function idsIn(store: Store): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of store.notifications.since(-1)) ids.push(id)
  return ids
}

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
