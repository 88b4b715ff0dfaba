import { expect, test } from 'vitest'
import { all, bare, enrollment, notification, opened, put, start, temporary } from './fixtures.ts'

const fleeting = enrollment('e1', { expiresAt: start + 10 })

test('a sweep removes records, notifications and enrollments that expired before now, and nothing else', async () => {
  const store = await opened(await temporary())
  await store.write(async (tx) => {
    await put(tx, 'due@alice', '1', { expiresAt: start + 9 })
    await put(tx, 'edge@alice', '1', { expiresAt: start + 11 })
    await put(tx, 'ever@alice', '1')
    await tx.putNotification(notification('due', { expiresAt: start + 10 }))
    await tx.putNotification(notification('later', { expiresAt: start + 12 }))
    await tx.putEnrollment(fleeting)
  })
  expect(await store.nextExpiry()).toBe(start + 9)
  expect(await store.sweep(start + 11)).toBe(3)
  expect((await all(store.records.entries())).map(([key]) => key)).toEqual(['edge@alice', 'ever@alice'])
  expect([await store.notifications.get('due'), await store.enrollments.get('e1')]).toEqual([undefined, undefined])
  expect((await all(store.notifications.since(0))).map(({ id }) => id)).toEqual(['later'])
  expect(await store.nextExpiry()).toBe(start + 11)
  expect(await store.sweep(start + 11)).toBe(0)
})

test('expired records leave a removal in the log, unless their kind of key never enters it', async () => {
  const store = await opened(await temporary())
  await store.write(async (tx) => {
    await put(tx, 'a@alice', '1', { expiresAt: start })
    await put(tx, 'private:b@alice', '1', { expiresAt: start }, { commit: false })
    await put(tx, 'public:_c@alice', '1', { expiresAt: start }, { commit: false })
  })
  expect(await store.sweep(start + 1)).toBe(3)
  expect(await all(store.commits.entries())).toEqual([
    { commitId: 1, key: 'a@alice', operation: '-', opTime: start + 1 },
  ])
})

test('the life of a record follows its latest change', async () => {
  const store = await opened(await temporary())
  const live = (expiresAt?: number) =>
    store.write((tx) => put(tx, 'a@alice', '1', expiresAt === undefined ? {} : { expiresAt }))
  await live(start + 5)
  await live(start + 50)
  expect(await store.nextExpiry()).toBe(start + 50)
  expect(await store.sweep(start + 10)).toBe(0)
  await live()
  expect(await store.nextExpiry()).toBeUndefined()
  expect(await store.sweep(start + 1000)).toBe(0)
})

test('an expired notification leaves the outbox and makes room there', async () => {
  const store = await opened(await temporary(), { outboxPerPeer: 1 })
  await store.write((tx) => tx.enqueue(notification('n', { expiresAt: start })))
  expect((await store.outbox.pending('@bob', 1)).map(({ notification: { id } }) => id)).toEqual(['n'])
  expect(await store.sweep(start + 1)).toBe(1)
  expect(await store.outbox.recipients()).toEqual([])
  await store.write((tx) => tx.enqueue(notification('next')))
  expect(await store.outbox.recipients()).toEqual(['@bob'])
})

test('a large sweep goes in bounded batches', async () => {
  const batches: number[] = []
  const store = await opened(
    await temporary(),
    {},
    {
      aroundBatch(write, operations) {
        batches.push(operations.length)
        return write()
      },
    },
  )
  await store.write(async (tx) => {
    for (let n = 0; n < 1000; n += 1) await tx.putNotification(notification(`n${n}`, { expiresAt: start + n }))
  })
  batches.length = 0
  expect(await store.sweep(start + 1000)).toBe(1000)
  expect(batches).toHaveLength(4)
  expect(Math.max(...batches)).toBeLessThanOrEqual(256 * 4)
})

test('what goes leaves no index entry behind', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  await store.write(async (tx) => {
    await put(tx, 'private:a@alice', '1', { expiresAt: start }, { commit: false })
    await tx.enqueue(notification('n', { expiresAt: start }))
    await tx.putEnrollment(fleeting)
  })
  await store.sweep(start + 1000)
  await store.close()
  const left: string[] = []
  for await (const key of (await bare(directory)).keys({ prefix: '' })) left.push(key)
  expect(left).toEqual(['!identity!store', '!meta!clock-floor'])
})
