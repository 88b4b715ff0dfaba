import { describe, expect, test } from 'vitest'
import { inProcessPair } from '../../src/client/in-process.ts'
import type { Identity } from '../../src/core/access.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import { limits } from '../../src/core/limits.ts'
import type { Gate } from '../../src/server/dispatch.ts'
import { allowedIdleMs, networkOf, type PlaceLimits } from '../../src/server/places.ts'
import { createServer } from '../../src/server/server.ts'
import { manualClock } from '../support/clock.ts'
import { asOwner, type Client, clientOf, raw, startServer, type TestServer, visit } from '../support/server.ts'

const full = 'error:AT0012-Inbound connection limit exceeded\n'
const ok = 'data:ok\n@'
const addresses = (count: number): string[] => Array.from({ length: count }, (_, host) => `192.0.2.${host + 1}`)

/** Strangers that fell silent one after the other, a second apart. */
async function strangers(server: TestServer, from: readonly string[]): Promise<Client[]> {
  const all: Client[] = []
  for (const address of from) {
    all.push(await raw(server, address))
    server.clock.advance(1_000)
  }
  return all
}

const stillOpen = (clients: readonly Client[]): Promise<boolean[]> =>
  Promise.all(
    clients.map((client) =>
      client
        .ask('noop:0')
        .then(() => true)
        .catch(() => false),
    ),
  )

describe('a full pool', () => {
  test('lets a newcomer in for the stranger that was silent for longest', async () => {
    const server = await startServer({ places: { total: 3 } })
    const [first, second, third] = (await strangers(server, addresses(3))) as [Client, Client, Client]
    await first.ask('noop:0')
    const newcomer = await raw(server, '198.51.100.7')
    expect(await stillOpen([first, second, third, newcomer])).toEqual([true, false, true, true])
  })

  test('never costs an owner the session, however many strangers come', async () => {
    const server = await startServer({ places: { total: 4 } })
    const owners = [await asOwner(server, '192.0.2.1'), await asOwner(server, '192.0.2.2')]
    const crowd = await strangers(server, addresses(50))
    expect(await stillOpen(owners)).toEqual([true, true])
    expect((await stillOpen(crowd)).filter(Boolean)).toHaveLength(2)
    const owner = await asOwner(server, '203.0.113.9')
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  test('of owners answers AT0012 without greeting or prompt, and closes (page 01, section 4)', async () => {
    const server = await startServer({ places: { total: 2 } })
    const [first] = [await asOwner(server, '192.0.2.1'), await asOwner(server, '192.0.2.2')]
    const refused = visit(server, '192.0.2.3')
    expect(await refused.closed).toBe(full)
    expect(refused.chunks).toHaveLength(1)
    first?.write('@exit\n')
    await first?.closed
    expect(await (await raw(server, '192.0.2.3')).ask('noop:0')).toBe(ok)
  })

  test('of owners has room once one of them is idle for a minute (page 01, 6.2)', async () => {
    const server = await startServer({ places: { total: 2 } })
    const [first, second] = [await asOwner(server, '192.0.2.1'), await asOwner(server, '192.0.2.2')]
    server.clock.advance(limits.authenticatedIdleLeastMs)
    await second?.ask('noop:0')
    server.clock.advance(1)
    expect(await (await raw(server, '192.0.2.3')).ask('noop:0')).toBe(ok)
    expect(await first?.closed).toBe('')
    expect(await second?.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  test('is no matter for connections from inside the process', async () => {
    const server = await startServer({ places: { total: 1 } })
    const inside = [await asOwner(server), await raw(server)]
    const outside = await raw(server, '192.0.2.1')
    expect(await stillOpen([...inside, outside, await raw(server)])).toEqual([true, true, true, true])
  })

  test('keeps no stream of one that was turned away and does not close its side', async () => {
    const server = await startServer({ places: { total: 0 } })
    const [near, far] = inProcessPair()
    server.server.handle(far, { remoteAddress: '192.0.2.1', certificate: undefined })
    near.resume()
    server.clock.advance(limits.lingerMs)
    expect(far.destroyed).toBe(true)
  })
})

describe('one address', () => {
  test('with as many connections as it may have loses its own strangers, not those of others', async () => {
    const server = await startServer({ places: { perAddress: 2 } })
    const [other, oldest, younger] = await strangers(server, ['192.0.2.1', '198.51.100.7', '198.51.100.7'])
    const newcomer = await raw(server, '198.51.100.7')
    expect(await stillOpen([other, oldest, younger, newcomer] as Client[])).toEqual([true, false, true, true])
  })

  test('is refused one more when all of its connections are logged in', async () => {
    const server = await startServer({ places: { perAddress: 1 } })
    const owner = await asOwner(server, '2001:db8:1:2::1')
    expect(await visit(server, '2001:db8:1:2:ffff::9').closed).toBe(full)
    expect(await stillOpen([owner, await raw(server, '2001:db8:1:3::1')])).toEqual([true, true])
  })

  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:DB8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8::5', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['unknown', 'unknown'],
  ])('%s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network)
  })
})

describe('one peer', () => {
  /** Takes `@bob` for a proof of being @bob, and never answers `wait` until told. */
  function proving(places: Partial<PlaceLimits>) {
    const clock = manualClock()
    const logs: unknown[] = []
    let answerWaiting = (): void => {}
    const answer: Gate['answer'] = (session, frame) => {
      const line = frame.kind === 'line' ? frame.text : ''
      const plain = { text: `${line}@`, session, subscribe: undefined, closes: false, accepted: true }
      if (line === 'wait') {
        const later = new Promise<typeof plain>((resolve) => (answerWaiting = () => resolve(plain)))
        return { later, isOrdered: false }
      }
      const proven: Identity = { kind: 'peer', atSign: line as AtSign }
      return line.startsWith('@') ? { ...plain, session: { ...session, identity: proven } } : plain
    }
    const gate: Gate = { answer, overlaps: () => false, recall: () => undefined }
    const feed = { subscribe: () => () => {} }
    const log = (_level: string, message: string, members?: unknown): void => void logs.push({ message, members })
    const server = createServer({ gate, feed, clock, log, places })
    const open = async (...lines: string[]): Promise<Client> => {
      const [near, far] = inProcessPair()
      server.handle(far, { remoteAddress: '192.0.2.1', certificate: undefined })
      const client = clientOf(near)
      await client.take(/^@/)
      for (const line of lines) {
        client.write(`${line}\n`)
        await client.take(new RegExp(`^${line}@`))
      }
      clock.advance(1_000)
      return client
    }
    return { open, logs, answerWaiting: () => answerWaiting() }
  }

  test('has its longest idle session closed for a new one, after what it was asked', async () => {
    const { open, logs, answerWaiting } = proving({ perPeer: 2 })
    const first = await open('@bob')
    first.write('wait\n')
    const [second, carol] = [await open('@bob'), await open('@carol')]
    const third = await open('@bob')
    const fourth = await open('@bob')
    expect(await second.closed).toBe('')
    answerWaiting()
    expect(await first.closed).toBe('wait@')
    for (const client of [third, fourth, carol]) {
      client.write('x\n')
      await client.take(/^x@/)
    }
    expect(logs).toEqual([
      { message: 'a session of a peer was closed: it has as many as it may', members: { peer: '@bob', most: 2 } },
    ])
  })
})

describe('idle time', () => {
  const reapMs = 30_000
  test.each<[string, (server: TestServer, address: string) => Promise<Client>, number]>([
    ['an open session', raw, limits.openIdleMs],
    ['an owner session', asOwner, limits.authenticatedIdleMs],
  ])('%s is closed after it', async (_, open, idleMs) => {
    const server = await startServer()
    const client = await open(server, '192.0.2.1')
    server.clock.advance(idleMs)
    expect(await client.ask('noop:0')).toMatch(/^data:ok\n/)
    server.clock.advance(idleMs + reapMs)
    expect(await client.closed).toBe('')
  })

  test('ends with any byte received (page 07, section 1)', async () => {
    const server = await startServer()
    const client = await raw(server, '192.0.2.1')
    for (const byte of 'noop:') {
      server.clock.advance(limits.openIdleMs - reapMs)
      client.write(byte)
      await new Promise(setImmediate)
    }
    expect(await client.ask('0')).toBe(ok)
  })

  test('has no end for a connection from inside the process', async () => {
    const server = await startServer()
    const client = await asOwner(server)
    server.clock.advance(10 * limits.authenticatedIdleMs)
    expect(await client.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  test.each([
    [0, 600_000, 600_000],
    [100, 600_000, 600_000],
    [150, 302_500, 330_000],
    [190, 64_500, 114_000],
    [200, 5_000, 60_000],
  ])(
    'with %i of 200 places taken: %i ms for a stranger, %i ms for owner and peer (page 01, 6.2)',
    (taken, open, proven) => {
      expect(allowedIdleMs('anyone', taken, 200)).toBe(open)
      expect(allowedIdleMs('owner', taken, 200)).toBe(proven)
      expect(allowedIdleMs('peer', taken, 200)).toBe(proven)
    },
  )

  test('of strangers shrinks while places are scarce, and is long again once some are free', async () => {
    const server = await startServer({ places: { total: 10 } })
    const all = await strangers(server, addresses(9))
    // With 9 of 10 places taken, 124 seconds are allowed.
    server.clock.advance(130_000)
    // One was closed; with 8 places taken, 243 seconds are.
    expect(await stillOpen(all)).toEqual(all.map((_, index) => index > 0))
  })
})

describe('the log', () => {
  test('tells that strangers give way, however many do, in a line a minute', async () => {
    const told: unknown[] = []
    const server = await startServer({
      places: { total: 1 },
      onLog: (level, message, members) => level === 'warn' && told.push([message, members]),
    })
    for (const address of addresses(4)) await raw(server, address)
    server.clock.advance(60_000)
    const message = 'an idle connection gave way to a newcomer'
    expect(told).toEqual([
      [message, { remoteAddress: '192.0.2.1' }],
      [message, { remoteAddress: '192.0.2.3', count: 2 }],
    ])
  })

  test('names the first refusal of a cause at once, and the others once a minute with their count', async () => {
    const refusals: unknown[] = []
    const server = await startServer({
      places: { total: 0 },
      onLog: (level, message, members) => level === 'warn' && refusals.push([message, members]),
    })
    const message = 'a connection was refused: owner and peers have taken all places'
    for (const address of addresses(5)) await visit(server, address).closed
    expect(refusals).toEqual([[message, { remoteAddress: '192.0.2.1', most: 0 }]])
    server.clock.advance(60_000)
    expect(refusals.slice(1)).toEqual([[message, { remoteAddress: '192.0.2.5', most: 0, count: 4 }]])
    server.clock.advance(60_000)
    expect(refusals).toHaveLength(2)
    await visit(server).closed
    expect(refusals).toHaveLength(3)
  })
})
