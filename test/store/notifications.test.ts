import { expect, test } from 'vitest'
import { all, notification, opened, start, temporary } from './fixtures.ts'

test('a notification is found by its id and by its time, ascending and strictly after the given time', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  const made = [30, 10, 20].map((n) => notification(`n${n}`, { at: start + n }))
  await store.write(async (tx) => {
    for (const one of made) await tx.putNotification(one)
    expect(await tx.notification('n10')).toEqual(made[1])
  })
  await store.close()
  const again = await opened(directory)
  expect(await again.notifications.get('n20')).toEqual(made[2])
  expect(await again.notifications.get('nowhere')).toBeUndefined()
  expect((await all(again.notifications.since(-1))).map(({ id }) => id)).toEqual(['n10', 'n20', 'n30'])
  expect((await all(again.notifications.since(start + 10))).map(({ id }) => id)).toEqual(['n20', 'n30'])
})

test('a later notification with the same id replaces the earlier one, whatever its time', async () => {
  const store = await opened(await temporary())
  await store.write((tx) => tx.putNotification(notification('n', { at: start + 5, value: 'old' })))
  await store.write((tx) => tx.putNotification(notification('n', { at: start + 1, value: 'new' })))
  expect((await all(store.notifications.since(start))).map(({ at, value }) => [at, value])).toEqual([
    [start + 1, 'new'],
  ])
  expect(await store.notifications.count()).toEqual({ total: 1, sent: 1, received: 0 })
})

test('the status of a notification changes without its body; of one that is gone it does not', async () => {
  const store = await opened(await temporary())
  await store.write((tx) => tx.putNotification(notification('n', { type: 'received' })))
  await store.write(async (tx) => {
    await tx.setNotificationStatus('n', 'delivered')
    await tx.setNotificationStatus('gone', 'delivered')
  })
  expect(await store.notifications.get('n')).toEqual(notification('n', { type: 'received', status: 'delivered' }))
  expect((await all(store.notifications.since(0)))[0]?.status).toBe('delivered')
  expect(await store.notifications.get('gone')).toBeUndefined()
  expect(await store.notifications.count()).toEqual({ total: 1, sent: 0, received: 1 })
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
  const ids = async (limit: number, skip?: Set<string>) =>
    (await again.outbox.pending('@bob', limit, skip)).map(({ id }) => id)
  expect(await ids(10)).toEqual(['b2', 'b1', 'b3', 'b0'])
  expect(await ids(2)).toEqual(['b2', 'b1'])
  expect(await ids(2, new Set(['b2', 'b3']))).toEqual(['b1', 'b0'])
  expect(await ids(0)).toEqual([])
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

test('a notification queued again under its id keeps its place and waits once', async () => {
  const store = await opened(await temporary(), { outboxPerPeer: 2 })
  for (const id of ['n1', 'n2']) await store.write((tx) => tx.enqueue(notification(id)))
  await store.write((tx) => tx.enqueue(notification('n1', { value: 'newer', at: start + 1 })))
  expect((await store.outbox.pending('@bob', 5)).map(({ id, value }) => [id, value])).toEqual([
    ['n1', 'newer'],
    ['n2', '21.4'],
  ])
})

test('a notification replaced while it was on its way waits on', async () => {
  const store = await opened(await temporary())
  const sent = notification('n')
  await store.write((tx) => tx.enqueue(sent))
  await store.write((tx) => tx.enqueue(notification('n', { value: 'newer', at: start + 1 })))
  await store.write((tx) => tx.settle(sent, 'delivered'))
  expect((await store.outbox.pending('@bob', 5)).map(({ value }) => value)).toEqual(['newer'])
})

test('a notification queued again for another recipient waits only there', async () => {
  const store = await opened(await temporary())
  await store.write((tx) => tx.enqueue(notification('n')))
  await store.write((tx) => tx.enqueue(notification('n', { to: '@carol' })))
  expect(await store.outbox.recipients()).toEqual(['@carol'])
  expect(await store.outbox.pending('@bob', 5)).toEqual([])
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
  expect((await store.outbox.pending('@bob', 5)).map(({ id }) => id)).toEqual(['n2', 'n3'])
})
