import { expect, test } from 'vitest'
import type { Notification } from '../../src/core/notification.ts'
import { idsIn, keep, notification, opened, start, temporary } from './fixtures.ts'

const hour = 3_600_000

/** Received an hour apart, each of about 1,200 bytes, and alive for long. */
const received = (count: number): Notification[] =>
  Array.from({ length: count }, (_, index) =>
    notification(`id${index}`, {
      ...{ type: 'received', from: '@bob', to: '@alice', value: 'v'.repeat(1_000) },
      ...{ at: start + index * hour, expiresAt: start + 1_000 * hour },
    }),
  )

test('notifications that are older than is kept go, though they have not expired', async () => {
  const store = await opened(await temporary(), { notificationLog: { keepMs: 2 * hour } })
  await keep(store, received(5))
  expect(await store.retain(start + 4 * hour)).toBe(2)
  expect(await idsIn(store)).toEqual(['id2', 'id3', 'id4'])
  expect(await store.retain(start + 4 * hour)).toBe(0)
})

test('when all together are larger than is kept, the oldest go', async () => {
  const directory = await temporary()
  const store = await opened(directory, { notificationLog: { maxBytes: 1_000_000 } })
  await keep(store, received(10))
  expect(await store.retain(start + 10 * hour)).toBe(0)
  await store.close()

  // What there is is known after a restart as well.
  const small = await opened(directory, { notificationLog: { maxBytes: 6_200 } })
  expect(await small.retain(start + 10 * hour)).toBe(6)
  expect(await idsIn(small)).toEqual(['id6', 'id7', 'id8', 'id9'])
  await keep(small, received(11).slice(10))
  expect(await small.retain(start + 10 * hour)).toBe(0)
})

test('what waits for its recipient stays, and what was delivered goes', async () => {
  const store = await opened(await temporary(), { notificationLog: { keepMs: hour, maxBytes: 1 } })
  const [waiting, delivered] = [notification('waits', { at: start }), notification('arrived', { at: start + 1 })]
  await store.write(async (tx) => {
    await tx.enqueue(waiting)
    await tx.enqueue(delivered)
    await tx.settle(delivered, 'delivered')
  })
  expect(await store.retain(start + 5 * hour)).toBe(1)
  expect(await idsIn(store)).toEqual(['waits'])
  expect(await store.outbox.pending('@bob', 10)).toHaveLength(1)
  expect(await store.retain(start + 5 * hour)).toBe(0)
})

test('expired and removed notifications count no more', async () => {
  const store = await opened(await temporary(), { notificationLog: { maxBytes: 4_000 } })
  const three = received(3)
  await keep(store, three)
  await store.write((tx) => tx.removeNotification(three[1] ?? notification('none')))
  await store.sweep(start + 1_001 * hour)
  await keep(store, received(6).slice(3))
  expect(await store.retain(start + 6 * hour)).toBe(0)
  expect(await idsIn(store)).toEqual(['id3', 'id4', 'id5'])
})
