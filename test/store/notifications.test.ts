import { describe, expect, test } from 'vitest'
import type { Notification } from '../../src/core/notification.ts'
import type { Store, Waiting } from '../../src/core/storage.ts'
import { all, notification, opened, put, remove, start, temporary } from './fixtures.ts'

const idsOf = (list: readonly Waiting[]): string[] => list.map(({ notification: { id } }) => id)
const valuesOf = (list: readonly Waiting[]): (string | null)[] => list.map(({ notification: { value } }) => value)

test('a notification is found by its id and by its time, ascending and strictly after the given time', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  const made = [30, 10, 20].map((n) => notification(`n${n}`, { at: start + n }))
  await store.write(async (tx) => {
    for (const one of made) await tx.putNotification(one)
    for (const one of made) expect(await tx.hasNotification(one)).toBe(true)
  })
  await store.close()
  const again = await opened(directory)
  expect(await again.notifications.get('n20')).toEqual(made[2])
  expect(await again.notifications.get('nowhere')).toBeUndefined()
  expect((await all(again.notifications.since(-1))).map(({ id }) => id)).toEqual(['n10', 'n20', 'n30'])
  expect((await all(again.notifications.since(start + 10))).map(({ id }) => id)).toEqual(['n20', 'n30'])
})

describe('under one id', () => {
  const from = (sender: '@bob' | '@carol', parts: Partial<Notification> = {}): Notification =>
    notification('same', { from: sender, to: '@alice', type: 'received', status: 'delivered', ...parts })

  test('another direction, other side, key, value or operation is another notification', async () => {
    const store = await opened(await temporary())
    const made = [
      ...[notification('same'), notification('same', { to: '@carol' }), notification('same', { value: 'more' })],
      ...[from('@bob'), from('@carol'), from('@bob', { value: null }), from('@bob', { operation: 'delete' })],
      from('@bob', { key: '@bob:other.sensors@alice' }),
    ]
    await store.write(async (tx) => {
      for (const one of made) await tx.putNotification(one)
    })
    expect(await store.notifications.count()).toEqual({ total: 8, sent: 3, received: 5 })
    for (const one of made) expect(await store.notifications.has(one)).toBe(true)
    expect(await store.notifications.has(from('@bob', { value: 'never' }))).toBe(false)
  })

  test('the owner means the latest that was sent, else the latest that arrived', async () => {
    const store = await opened(await temporary())
    const value = async (): Promise<string | null | undefined> => (await store.notifications.get('same'))?.value
    const store1 = (one: Notification): Promise<void> => store.write((tx) => tx.putNotification(one))
    await store1(from('@bob', { at: start + 5, value: 'theirs, later' }))
    await store1(from('@carol', { at: start + 1, value: 'theirs' }))
    expect(await value()).toBe('theirs, later')
    await store1(notification('same', { at: start + 2, value: 'own, later' }))
    await store1(notification('same', { at: start, value: 'own' }))
    expect(await value()).toBe('own, later')
    await store.write((tx) => tx.removeNotification(notification('same', { value: 'own, later' })))
    expect(await value()).toBe('own')
  })
})

test('the same notification is stored once, with its later time', async () => {
  const store = await opened(await temporary())
  await store.write((tx) => tx.putNotification(notification('n', { at: start + 5 })))
  await store.write((tx) => tx.putNotification(notification('n', { at: start + 1 })))
  expect((await all(store.notifications.since(start))).map(({ at }) => at)).toEqual([start + 1])
  expect(await store.notifications.count()).toEqual({ total: 1, sent: 1, received: 0 })
})

test('each recipient has an outbox in queue order, which outlives a restart', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  for (const id of ['b2', 'b1', 'b3']) await store.write((tx) => tx.enqueue(notification(id)))
  await store.write((tx) => tx.enqueue(notification('bo', { to: '@bo' })))
  await store.close()
  const again = await opened(directory)
  expect(await again.outbox.recipients()).toEqual(['@bo', '@bob'])
  await again.write((tx) => tx.enqueue(notification('b0')))
  const waiting = await again.outbox.pending('@bob', 10)
  expect(idsOf(waiting)).toEqual(['b2', 'b1', 'b3', 'b0'])
  expect(idsOf(await again.outbox.pending('@bob', 2))).toEqual(['b2', 'b1'])
  expect(idsOf(await again.outbox.pending('@bob', 2, waiting[1]?.place))).toEqual(['b3', 'b0'])
  expect(await again.outbox.pending('@bob', 0)).toEqual([])
  expect(await again.outbox.pending('@nobody', 5)).toEqual([])
})

test('settling takes a notification out of the outbox and keeps how it ended', async () => {
  const store = await opened(await temporary())
  await store.write((tx) => tx.enqueue(notification('n')))
  await store.write((tx) => tx.settle(notification('n'), 'delivered'), { sync: false })
  expect(await store.outbox.recipients()).toEqual([])
  expect(await store.outbox.pending('@bob', 5)).toEqual([])
  expect((await store.notifications.get('n'))?.status).toBe('delivered')
})

test('the same notification, queued again while it waits, keeps its place and waits once', async () => {
  const store = await opened(await temporary(), { outboxPerPeer: 2 })
  for (const id of ['n1', 'n2', 'n1']) await store.write((tx) => tx.enqueue(notification(id)))
  expect(idsOf(await store.outbox.pending('@bob', 5))).toEqual(['n1', 'n2'])
})

test('other content or another recipient under the id of one that waits waits as well', async () => {
  const store = await opened(await temporary())
  for (const value of ['21.4', '21.5', '21.6']) await store.write((tx) => tx.enqueue(notification('n', { value })))
  await store.write((tx) => tx.enqueue(notification('n', { to: '@carol' })))
  expect(valuesOf(await store.outbox.pending('@bob', 5))).toEqual(['21.4', '21.5', '21.6'])
  expect(idsOf(await store.outbox.pending('@carol', 5))).toEqual(['n'])
  await store.write((tx) => tx.settle(notification('n', { value: '21.5' }), 'delivered'))
  expect(valuesOf(await store.outbox.pending('@bob', 5))).toEqual(['21.4', '21.6'])
})

test('an entry tells whether its notification still waits', async () => {
  const store = await opened(await temporary())
  for (const id of ['n1', 'n2']) await store.write((tx) => tx.enqueue(notification(id)))
  const [first, second] = (await store.outbox.pending('@bob', 2)).map(({ place }) => place)
  await store.write((tx) => tx.removeNotification(notification('n1')))
  expect([first, second].map((place) => store.outbox.waits('@bob', place ?? 0))).toEqual([false, true])
})

test('what is known of a notification that waits holds until another wait is ended', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  const [first, second, third] = await store.write(async (tx) => [
    await tx.enqueue(notification('n1')),
    await tx.enqueue(notification('n2')),
    await tx.enqueue(notification('n3')),
  ])
  const waiting = (): (boolean | undefined)[] =>
    [first, second, third].map((one) => one && store.outbox.waits('@bob', one.place, one.known))
  await store.write((tx) => tx.removeNotification(notification('n2')))
  expect(waiting()).toEqual([true, false, true])
  await store.write(async (tx) => {
    for (const one of [first, second]) if (one) await tx.settle(one.notification, 'delivered', one.known)
  })
  expect((await store.notifications.get('n1'))?.status).toBe('delivered')
  expect(await store.notifications.get('n2')).toBeUndefined()
  expect(await store.outbox.pending('@bob', 9)).toEqual([expect.objectContaining({ place: third?.place })])
})

describe('the strategy latest', () => {
  const latest = (id: string, parts: Partial<Notification> = {}): Notification =>
    notification(id, { strategy: 'latest', latestN: 2, ...parts })
  const enqueue = async (store: Store, ...list: Notification[]): Promise<void> => {
    for (const one of list) await store.write((tx) => tx.enqueue(one))
  }

  test('leaves the newest few of a notifier waiting for a recipient; the others have expired', async () => {
    const directory = await temporary()
    const store = await opened(directory)
    await enqueue(store, latest('a'), notification('all'), latest('b'), latest('other', { notifier: 'other' }))
    await enqueue(store, latest('carol', { to: '@carol' }), latest('c'))
    expect(idsOf(await store.outbox.pending('@bob', 9))).toEqual(['all', 'b', 'other', 'c'])
    expect((await store.notifications.get('a'))?.status).toBe('expired')
    await store.close()
    const again = await opened(directory)
    await enqueue(again, latest('d', { latestN: 1 }))
    expect(idsOf(await again.outbox.pending('@bob', 9))).toEqual(['all', 'other', 'd'])
    expect(idsOf(await again.outbox.pending('@carol', 9))).toEqual(['carol'])
  })

  test('makes room in an outbox that is full of older ones', async () => {
    const store = await opened(await temporary(), { outboxPerPeer: 2 })
    await enqueue(store, latest('a'), latest('b'), latest('c'))
    expect(idsOf(await store.outbox.pending('@bob', 9))).toEqual(['b', 'c'])
  })

  test('does not take back what was delivered meanwhile', async () => {
    const store = await opened(await temporary())
    await enqueue(store, latest('a', { latestN: 1 }), latest('b', { latestN: 1 }))
    await store.write((tx) => tx.settle(latest('a'), 'delivered'))
    await store.write((tx) => tx.settle(latest('a'), 'errored'))
    expect((await store.notifications.get('a'))?.status).toBe('delivered')
  })
})

describe('what is held of another atSign', () => {
  const received = (id: string, parts: Partial<Notification> = {}): Notification =>
    notification(id, { from: '@bob', to: '@alice', type: 'received', ...parts })
  const held = (store: Store, kind: 'notifications' | 'copies') =>
    store.write(async (tx) => [(await tx.holding(kind, '@bob')).count, (await tx.holding(kind, '@carol')).count])

  test('is counted by sender, until it is removed or expires', async () => {
    const directory = await temporary()
    const store = await opened(directory)
    await store.write(async (tx) => {
      await tx.putNotification(received('n1'))
      await tx.putNotification(received('n1'))
      await tx.putNotification(received('n2', { expiresAt: start }))
      await tx.putNotification(received('own', { from: '@alice' }))
      await tx.enqueue(notification('sent'))
    })
    const { bytes } = await store.write((tx) => tx.holding('notifications', '@bob'))
    expect(bytes).toBeGreaterThan(400)
    expect(await held(store, 'notifications')).toEqual([2, 0])
    await store.close()
    const again = await opened(directory)
    await again.sweep(start + 1)
    expect(await held(again, 'notifications')).toEqual([1, 0])
    await again.write((tx) => tx.removeNotification(received('n1')))
    expect(await again.write((tx) => tx.holding('notifications', '@bob'))).toEqual({ count: 0, bytes: 0 })
  })

  test('counts copies of shared records, not public ones', async () => {
    const store = await opened(await temporary())
    await store.write(async (tx) => {
      await put(tx, 'cached:@alice:a.wavi@bob', '1')
      await put(tx, 'cached:@alice:a.wavi@bob', '12345')
      await put(tx, 'cached:@alice:b.wavi@bob', '1')
      await put(tx, 'cached:public:publickey@bob', '1')
      await put(tx, '@bob:c.wavi@alice', '1')
      await remove(tx, 'cached:@alice:b.wavi@bob')
      await remove(tx, 'cached:@alice:never.wavi@bob')
    })
    expect(await held(store, 'copies')).toEqual([1, 0])
  })
})

test('a full outbox refuses one more by name, and takes one when another is settled', async () => {
  const store = await opened(await temporary(), { outboxPerPeer: 2 })
  await store.write(async (tx) => {
    await tx.enqueue(notification('n1'))
    await tx.enqueue(notification('n2'))
  })
  const refused = store.write((tx) => tx.enqueue(notification('n3')))
  await expect(refused).rejects.toMatchObject({ code: 'AT0006', message: expect.stringContaining('@bob') })
  expect(await store.notifications.get('n3')).toBeUndefined()
  await store.write((tx) => tx.enqueue(notification('c1', { to: '@carol' })))
  await store.write((tx) => tx.settle(notification('n1'), 'errored'))
  await store.write((tx) => tx.enqueue(notification('n3')))
  expect(idsOf(await store.outbox.pending('@bob', 5))).toEqual(['n2', 'n3'])
})
