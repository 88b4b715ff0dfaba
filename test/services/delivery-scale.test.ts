import { expect, test } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { AtError } from '../../src/core/errors.ts'
import type { Notification } from '../../src/core/notification.ts'
import { createDelivery } from '../../src/services/delivery.ts'
import { createEphemeral } from '../../src/services/ephemeral.ts'
import type { PeerSession } from '../../src/services/peer-session.ts'
import type { Operation } from '../../src/store/database.ts'
import { all, notification, opened, temporary } from '../store/fixtures.ts'
import { manualClock } from '../support/clock.ts'
import { closeLater, until } from '../support/network.ts'

// Two hundred recipients on a real store. Their atServers are made of words: each behaves in one way.

const ways = {
  well: async () => 'data:success',
  /** Like one that answers a byte a second: its answer is not there in the time of this test. */
  slow: () => new Promise<string>(() => {}),
  reset: async (): Promise<string> => {
    throw new AtError('AT0004', 'Connection closed by the other side')
  },
  nonsense: async (): Promise<string> => {
    throw new AtError('AT0011', 'A line came that is no reply')
  },
}
type Way = keyof typeof ways | 'down' | 'impostor'

const wayOf = (index: number): Way => {
  if (index % 3 === 2) return 'down'
  const odd: Record<number, Way> = { 1: 'slow', 4: 'reset', 7: 'nonsense', 10: 'impostor' }
  return odd[index] ?? 'well'
}

const nameOf = (index: number): AtSign => `@peer${index}`
const count = 200
const each = 20

test('of two hundred recipients those that answer have everything at once, whatever is wrong with the others', async () => {
  const clock = manualClock()
  const settled: number[] = []
  const store = await opened(
    await temporary(),
    {},
    {
      aroundBatch(write: () => Promise<void>, operations: readonly Operation[]) {
        const ended = operations.filter(({ key, value }) => key.startsWith('!outbox!') && value === undefined).length
        if (ended > 0) settled.push(ended)
        return write()
      },
    },
  )
  const arrived = new Map<AtSign, string[]>()
  const attempts = new Map<AtSign, number>()

  const sessionWith = (peer: AtSign, way: keyof typeof ways): PeerSession => {
    let closed = false
    return {
      async request(line) {
        const id = /:id:([^:]+):/.exec(line)?.[1] ?? ''
        if (way === 'well') arrived.set(peer, [...(arrived.get(peer) ?? []), id])
        await new Promise(setImmediate)
        return ways[way]().catch((error: Error) => {
          closed = true
          throw error
        })
      },
      features: async () => ({ eAtn: true, eph: true }),
      busy: false,
      get closed() {
        return closed
      },
      close() {},
    }
  }

  const delivery = createDelivery({
    ...{ self: '@alice', clock, log: () => {}, store, autoNotify: true, notificationMs: 900_000 },
    ephemeral: createEphemeral({ self: '@alice', clock }),
    peers: {
      async proven(peer) {
        attempts.set(peer, (attempts.get(peer) ?? 0) + 1)
        const way = wayOf(Number(peer.slice('@peer'.length)))
        if (way === 'down') throw new AtError('AT0021', 'Unable to connect')
        if (way === 'impostor') throw new AtError('AT0401', 'the certificate is not for this atSign')
        return sessionWith(peer, way)
      },
      anonymous: () => Promise.reject(new AtError('AT0004', 'not asked for')),
      count: () => 0,
      lineBytes: () => 0,
      close() {},
    },
  })
  closeLater(async () => delivery.close())

  const made = (index: number, number: number): Notification =>
    notification(`p${index}n${number}`, { to: nameOf(index), key: `${nameOf(index)}:k${number}.sensors@alice` })
  await store.write(async (tx) => {
    for (let number = 0; number < each; number++) {
      for (let index = 0; index < count; index++) await tx.enqueue(made(index, number))
    }
  })
  await delivery.start()

  const well = Array.from({ length: count }, (_, index) => index).filter((index) => wayOf(index) === 'well')
  await until(async () => (await store.outbox.recipients()).length === count - well.length)
  for (const index of well) {
    expect(arrived.get(nameOf(index))).toEqual(Array.from({ length: each }, (_, number) => `p${index}n${number}`))
  }
  const statuses = new Map<string, number>()
  for (const { status } of await all(store.notifications.since(-1))) {
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  expect(Object.fromEntries(statuses)).toEqual({
    delivered: well.length * each,
    queued: (count - well.length) * each,
  })
  // Outcomes of one turn share a write.
  expect(settled.reduce((sum, ended) => sum + ended, 0)).toBe(well.length * each)
  expect(settled.length).toBeLessThan((well.length * each) / 10)
  // Nobody who cannot be reached is tried again before its pause is over.
  for (let index = 2; index < count; index += 3) expect(attempts.get(nameOf(index))).toBe(1)
})
