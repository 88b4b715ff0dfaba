import { expect, it } from 'vitest'
import type { Priority } from '../../src/core/notification.ts'
import { createQueue } from '../../src/services/delivery-queue.ts'
import { createEphemeral } from '../../src/services/ephemeral.ts'
import type { StoreSeams } from '../../src/store/store.ts'
import { notification, opened, start, temporary } from '../store/fixtures.ts'
import { manualClock } from '../support/clock.ts'
import { until } from '../support/network.ts'

/** What waits for @bob, and is delivered when the test says so. */
async function queueOf(seams: StoreSeams = {}) {
  const store = await opened(await temporary(), {}, seams)
  const queue = createQueue('@bob', store.outbox, createEphemeral({ self: '@alice', clock: manualClock(start) }))
  let count = 0
  return {
    /** Each is sent a millisecond after the one before, unless the time is told. */
    async put(key: string, priority: Priority, at = start + count + 1): Promise<void> {
      count++
      const one = { to: '@bob', key: `@bob:${key}.wavi@alice`, value: `${key} ${priority}`, at, priority } as const
      await store.write((tx) => tx.enqueue(notification(`n${count}`, one)))
      queue.extend()
    },
    take: async () => (await queue.take(() => 'free'))?.notification.value,
    async deliver(): Promise<string | null | undefined> {
      const entry = await queue.take(() => 'free')
      if (entry === undefined) return undefined
      await store.write((tx) => tx.settle(entry.notification, 'delivered'))
      queue.putBack(entry)
      return entry.notification.value
    },
  }
}

it('the urgent waits behind an earlier one of its key that was sent in the same millisecond', async () => {
  const { put, deliver } = await queueOf()
  await put('other', 'high', start)
  expect(await deliver()).toBe('other high')
  await put('alarm', 'low', start)
  await put('alarm', 'high', start)
  expect([await deliver(), await deliver()]).toEqual(['alarm low', 'alarm high'])
})

it('the urgent waits behind an earlier one of its key though the clock was set back in between', async () => {
  const { put, deliver } = await queueOf()
  await put('alarm', 'low', start + 60_000)
  await put('alarm', 'medium', start + 30_000)
  await put('alarm', 'high', start)
  await put('alarm', 'high', start - 30_000)
  const values = [await deliver(), await deliver(), await deliver(), await deliver()]
  expect(values).toEqual(['alarm low', 'alarm medium', 'alarm high', 'alarm high'])
})

it('the urgent waits behind an earlier one of its key that is taken for less urgent because of a later one', async () => {
  const { put, deliver } = await queueOf()
  await put('alarm', 'medium')
  await put('alarm', 'high')
  await put('alarm', 'low')
  await put('other', 'high')
  const values = [await deliver(), await deliver(), await deliver(), await deliver()]
  expect(values).toEqual(['other high', 'alarm medium', 'alarm high', 'alarm low'])
})

it('what is written and not yet acknowledged goes no sooner than the others of its batch', async () => {
  let acknowledge: (() => void) | undefined
  let holds = false
  const { put, take, deliver } = await queueOf({
    async aroundBatch(write) {
      await write()
      if (holds)
        await new Promise<void>((resolve) => {
          acknowledge = resolve
        })
    },
  })
  await put('other', 'high')
  holds = true
  const puts = [put('alarm', 'low'), put('alarm', 'high')]
  await until(() => acknowledge !== undefined)
  holds = false
  expect(await take()).toBe('other high')
  acknowledge?.()
  await Promise.all(puts)
  expect([await deliver(), await deliver()]).toEqual(['alarm low', 'alarm high'])
})

it('the urgent is no longer taken for less so once those before it of its key are delivered, though others keep coming', async () => {
  const { put, deliver } = await queueOf()
  await put('alarm', 'low')
  for (let index = 0; index < 80; index++) {
    await put(`reading${index}`, 'low')
    await put(`other${index}`, 'high')
    expect(await deliver()).toBe(`other${index} high`)
    await deliver()
  }
  await put('alarm', 'high')
  expect(await deliver()).toBe('alarm high')
})
