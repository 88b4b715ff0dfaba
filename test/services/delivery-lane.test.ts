import { describe, expect, test } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import type { Log } from '../../src/core/log.ts'
import type { Notification } from '../../src/core/notification.ts'
import type { Store } from '../../src/core/storage.ts'
import { createDelivery } from '../../src/services/delivery.ts'
import { createEphemeral } from '../../src/services/ephemeral.ts'
import type { PeerSession } from '../../src/services/peer-session.ts'
import { notification, opened, start, temporary } from '../store/fixtures.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { closeLater, until } from '../support/network.ts'

// One recipient, a real store and sessions made of words.

const valueIn = (line: string): string => line.slice(line.lastIndexOf(':') + 1)

/** Delivers what the store holds. */
async function deliver(
  store: Store,
  clock: ManualClock,
  proven: () => Promise<PeerSession>,
  log: Log = () => {},
): Promise<ReturnType<typeof createDelivery>> {
  const delivery = createDelivery({
    ...{ self: '@alice', clock, log, store, autoNotify: true, notificationMs: 900_000 },
    ephemeral: createEphemeral({ self: '@alice', clock }),
    peers: {
      proven,
      anonymous: () => Promise.reject(new AtError('AT0004', 'not asked for')),
      count: () => 0,
      lineBytes: () => 0,
      close() {},
    },
  })
  closeLater(async () => delivery.close())
  await delivery.start()
  return delivery
}

function sessionOf(answer: (line: string) => Promise<string>): PeerSession & { break(): void } {
  let closed = false
  let fail = (_error: Error): void => {}
  const failure = new Promise<never>((_resolve, reject) => {
    fail = reject
  })
  failure.catch(() => {})
  return {
    request: (line) => Promise.race([answer(line), failure]),
    features: async () => ({ eAtn: true, eph: true }),
    busy: false,
    get closed() {
      return closed
    },
    close() {},
    break() {
      closed = true
      fail(new AtError('AT0004', 'Connection closed by the other side'))
    },
  }
}

test('a later value does not overtake an earlier one whose connection breaks while more is read', async () => {
  const clock = manualClock(start)
  const store = await opened(await temporary())
  const values = Array.from({ length: 100 }, (_, index) => `v${index}`)
  await store.write(async (tx) => {
    for (const value of values) await tx.enqueue(notification(value, { value }))
  })

  const sent: string[] = []
  const broken = sessionOf((line) => {
    sent.push(valueIn(line))
    return new Promise(() => {})
  })
  const sound = sessionOf(async (line) => {
    sent.push(valueIn(line))
    return 'data:success'
  })
  /** Lets the read go on that has begun with the first value in flight. */
  let goOn: (() => void) | undefined
  const outbox: Store['outbox'] = {
    ...store.outbox,
    async pending(...range) {
      const found = await store.outbox.pending(...range)
      if (sent.length === 1 && goOn === undefined)
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
      return found
    },
  }
  await deliver({ ...store, outbox }, clock, async () => (broken.closed ? sound : broken))
  await until(() => goOn !== undefined)
  broken.break()
  await new Promise(setImmediate)
  goOn?.()
  await until(() => {
    clock.advance(100)
    return sent.length > values.length
  })
  expect(sent).toEqual(['v0', ...values])
})

test('what is answered while the queue is read anew is not sent again, and what waits besides is not lost', async () => {
  const clock = manualClock(start)
  const store = await opened(await temporary())
  await store.write((tx) => {
    tx.enqueue(notification('refused', { value: 'refused', key: '@bob:refused.wavi@alice' }))
    tx.enqueue(notification('urgent', { value: 'urgent', key: '@bob:urgent.wavi@alice', priority: 'high' }))
  })

  const sent: string[] = []
  let answerUrgent = (_reply: string): void => {}
  const session = sessionOf((line) => {
    sent.push(valueIn(line))
    if (sent.length === 1)
      return new Promise((resolve) => {
        answerUrgent = resolve
      })
    const isRefused = valueIn(line) === 'refused' && sent.length < 5
    return Promise.resolve(isRefused ? 'error:AT0028:too many' : 'data:success')
  })
  /** Lets the read of the less urgent go on that was begun after the first pause. */
  let goOn: (() => void) | undefined
  let isPaused = false
  const outbox: Store['outbox'] = {
    ...store.outbox,
    async pending(...range) {
      if (isPaused && range[4] === 'low' && goOn === undefined)
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
      return store.outbox.pending(...range)
    },
  }
  const statusOf = async (id: string): Promise<string | undefined> => (await store.notifications.get(id))?.status
  await deliver({ ...store, outbox }, clock, async () => session)
  await until(() => sent.length === 2)
  isPaused = true
  await until(() => {
    clock.advance(100)
    return goOn !== undefined
  })
  answerUrgent('data:success')
  await until(async () => (await statusOf('urgent')) === 'delivered')
  await new Promise(setImmediate)
  goOn?.()
  await until(async () => {
    clock.advance(100)
    return (await statusOf('refused')) === 'delivered'
  })
  expect(sent).toEqual(['urgent', 'refused', 'refused', 'refused', 'refused'])
})

describe('what has just been stored', () => {
  /** Counts reads of what waits; every line is answered, each value once. */
  async function world() {
    const store = await opened(await temporary())
    const sent: string[] = []
    let reads = 0
    const outbox: Store['outbox'] = {
      ...store.outbox,
      pending: (recipient, ...range) => {
        if (range[3] === 'low') reads += 1
        return store.outbox.pending(recipient, ...range)
      },
    }
    const session = sessionOf(async (line) => {
      sent.push(valueIn(line))
      return 'data:success'
    })
    const delivery = await deliver({ ...store, outbox }, manualClock(start), async () => session)
    const send = (value: string, parts: Partial<Notification> = {}): Promise<void> =>
      store.write(async (tx) => {
        const waiting = await tx.enqueue(notification(value, { value, ...parts }))
        tx.onCommit(() => delivery.wake('@bob', waiting))
      })
    const statusOf = async (id: string): Promise<string | undefined> => (await store.notifications.get(id))?.status
    return { store, sent, send, statusOf, reads: () => reads }
  }

  test('is sent without being read again', async () => {
    const { sent, send, statusOf, reads } = await world()
    await send('first')
    await until(async () => (await statusOf('first')) === 'delivered')
    await new Promise(setImmediate)
    const before = reads()
    const values = Array.from({ length: 20 }, (_, index) => `v${index}`)
    await Promise.all(values.map((value) => send(value, { key: `@bob:${value}.wavi@alice` })))
    await until(async () => (await statusOf('v19')) === 'delivered')
    expect(sent).toEqual(['first', ...values])
    // Once more when all are sent: nothing may stay behind.
    expect(reads() - before).toBeLessThanOrEqual(2)
  })

  test('is not sent when a change of the same group has ended its wait', async () => {
    const { store, sent, send, statusOf } = await world()
    await send('first')
    await until(async () => (await statusOf('first')) === 'delivered')
    const latest = { strategy: 'latest', latestN: 1 } as const
    await Promise.all(
      [send('old', latest), send('new', latest), send('gone'), send('last')].concat(
        store.write((tx) => tx.removeNotification(notification('gone', { value: 'gone' }))),
      ),
    )
    await until(async () => (await statusOf('last')) === 'delivered')
    expect(sent).toEqual(['first', 'new', 'last'])
    expect(await statusOf('old')).toBe('expired')
  })
})

test('what is for an atSign that the directory does not know waits for its own expiry, and one line says so', async () => {
  const clock = manualClock(start)
  const store = await opened(await temporary())
  await store.write(async (tx) => {
    await tx.enqueue(notification('short', { expiresAt: start + 900_000 }))
    await tx.enqueue(notification('long', { expiresAt: start + 3_600_000 }))
  })
  const attempts: number[] = []
  const lines: string[] = []
  // Like a directory whose upstream is away: it answers `null` to everything.
  const proven = async (): Promise<PeerSession> => {
    attempts.push(clock.now())
    if (clock.now() < start + 1_800_000) throw new AtError('AT0007', 'Unable to find secondary address')
    return sessionOf(async () => 'data:success')
  }
  await deliver(store, clock, proven, (level, message) => lines.push(`${level} ${message}`))
  const status = async (id: string): Promise<string | undefined> => (await store.notifications.get(id))?.status
  await until(async () => {
    clock.advance(5_000)
    return (await status('long')) === 'delivered'
  })
  expect(await status('short')).toBe('expired')
  expect(lines).toEqual(['warn the directory does not know a recipient; it is asked again while anything waits'])
  const pauses = attempts.slice(1).map((at, index) => at - (attempts[index] ?? 0))
  expect(pauses.length).toBeGreaterThan(20)
})
