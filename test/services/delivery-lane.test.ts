import { expect, test } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import type { Log } from '../../src/core/log.ts'
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
async function deliver(store: Store, clock: ManualClock, proven: () => Promise<PeerSession>, log: Log = () => {}) {
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
    clock.advance(1_000)
    return (await status('long')) === 'delivered'
  })
  expect(await status('short')).toBe('expired')
  expect(lines).toEqual(['warn the directory does not know a recipient; it is asked again while anything waits'])
  const pauses = attempts.slice(1).map((at, index) => at - (attempts[index] ?? 0))
  expect(pauses.length).toBeGreaterThan(20)
})
