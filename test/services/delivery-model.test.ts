import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import { createDelivery } from '../../src/services/delivery.ts'
import { priorities } from '../../src/services/delivery-order.ts'
import { createEphemeral } from '../../src/services/ephemeral.ts'
import type { PeerSession } from '../../src/services/peer-session.ts'
import { openStore } from '../../src/store/store.ts'
import { notification, start } from '../store/fixtures.ts'
import { manualClock } from '../support/clock.ts'

// A recipient whose atServer answers late, refuses or hangs up while more is sent to it, by a clock that jumps. In the end
// everything has arrived: what was answered came once, and of each key in its order.

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      keys: fc.array(fc.tuple(fc.nat(3), fc.constantFrom(...priorities, 'low' as const)), {
        minLength: 1,
        maxLength: 6,
      }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      replies: fc.array(fc.constantFrom('data:success', 'data:success', 'data:success', 'error:AT0028:later'), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('break' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('jump' as const), ms: fc.integer({ min: -5_000, max: 5_000 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(700) }) },
)
const turns = fc.nat(6)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface Line {
  readonly number: number
  readonly answer: (reply: string) => void
}

/** The atServer of the recipient: what comes to it waits for an answer, until `calm` has everything answered at once. */
function createPeer() {
  const sent: number[] = []
  const arrived = new Set<number>()
  const twice: number[] = []
  let waiting: Line[] = []
  let session: PeerSession | undefined
  let hangUp = (): void => {}
  let isCalm = false

  /** Answers what has waited for longest. */
  const answer = (reply: string): void => {
    const first = waiting.shift()
    if (first === undefined) return
    if (reply === 'data:success') arrived.add(first.number)
    first.answer(reply)
  }
  const open = (): PeerSession => {
    let closed = false
    const failure = new Promise<never>((_resolve, reject) => {
      hangUp = () => {
        closed = true
        waiting = []
        reject(new AtError('AT0004', 'Connection closed by the other side'))
      }
    })
    failure.catch(() => {})
    return {
      request(line) {
        const number = Number(line.slice(line.lastIndexOf(':') + 1))
        sent.push(number)
        if (arrived.has(number)) twice.push(number)
        const reply = new Promise<string>((resolve) => waiting.push({ number, answer: resolve }))
        if (isCalm) answer('data:success')
        return Promise.race([reply, failure])
      },
      features: async () => ({ eAtn: true, eph: true }),
      busy: false,
      get closed() {
        return closed
      },
      close() {},
    }
  }
  return {
    ...{ sent, arrived, twice, answer },
    async proven(): Promise<PeerSession> {
      if (session === undefined || session.closed) session = open()
      return session
    },
    break: () => hangUp(),
    calm(): void {
      isCalm = true
      while (waiting.length > 0) answer('data:success')
    },
  }
}

const pause = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}

async function run(steps: readonly (readonly [Step, number])[]): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'atedge-delivery-'))
  const clock = manualClock(start)
  const store = await openStore({ directory, atSign: '@alice', clock })
  const peer = createPeer()
  const delivery = createDelivery({
    ...{ self: '@alice', clock, log: () => {}, store, autoNotify: true, notificationMs: 900_000, random: () => 0.5 },
    ephemeral: createEphemeral({ self: '@alice', clock }),
    peers: {
      proven: peer.proven,
      anonymous: () => Promise.reject(new AtError('AT0004', 'not asked for')),
      ...{ count: () => 0, lineBytes: () => 0, close() {} },
    },
  })
  const keyOf: number[] = []
  const writes: Promise<void>[] = []
  const actions = {
    send({ keys }: Extract<Step, { do: 'send' }>): void {
      for (const [key, priority] of keys) {
        const number = keyOf.push(key) - 1
        const parts = { key: `@bob:k${key}.wavi@alice`, priority, value: `${number}`, at: clock.now() }
        const body = notification(`n${number}`, { ...parts, expiresAt: start + 90_000_000 })
        const stored = store.write((tx) => {
          const waiting = tx.enqueue(body)
          tx.onCommit(() => delivery.wake('@bob', waiting))
        })
        writes.push(stored)
      }
    },
    answer: ({ replies }: Extract<Step, { do: 'answer' }>): void => replies.forEach(peer.answer),
    break: (): void => peer.break(),
    jump: ({ ms }: Extract<Step, { do: 'jump' }>): void => clock.jump(ms),
    wait: ({ ms }: Extract<Step, { do: 'wait' }>): void => clock.advance(ms),
  }
  try {
    for (const [one, count] of steps) {
      actions[one.do](one as never)
      await pause(count)
    }
    await Promise.all(writes)
    peer.calm()
    while ((await store.outbox.recipients()).length > 0) {
      clock.advance(500)
      await pause(10)
    }
    expect([...peer.arrived].sort((one, other) => one - other)).toEqual(keyOf.map((_, number) => number))
    expect(peer.twice).toEqual([])
    for (const key of new Set(keyOf)) {
      const ofKey = peer.sent.filter((number) => keyOf[number] === key)
      expect(ofKey, `of key ${key}`).toEqual(ofKey.toSorted((one, other) => one - other))
    }
    for (const number of keyOf.keys()) expect((await store.notifications.get(`n${number}`))?.status).toBe('delivered')
  } finally {
    delivery.close()
    await store.close()
    await rm(directory, { recursive: true })
  }
}

test('whatever a peer does, everything arrives once and each key in its order', { timeout: 120_000 }, async () => {
  const sequence = fc.array(fc.tuple(step, turns), { maxLength: 60, size: 'max' })
  await fc.assert(fc.asyncProperty(sequence, run), { numRuns: 40 })
})
