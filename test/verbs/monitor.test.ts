import { beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { asEnrolled, asOwner, type Client, provenPair, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
let peer: Client
beforeAll(async () => {
  ;({ alice, owner, peer } = await provenPair({
    app: { namespaces: { wavi: 'r' } },
    all: { namespaces: { '*': 'r' } },
    none: {},
  }))
})

async function monitorOf(line: string, client?: Client): Promise<Client> {
  const monitor = client ?? (await asOwner(alice))
  monitor.write(`${line}\nnoop:0\n`)
  expect(await monitor.line()).toBe('data:ok\n')
  return monitor
}

/** Ids hold no dots. */
const idFor = (name: string): string => name.replaceAll('.', '-')

const told = async (name: string, value = 'v'): Promise<void> => {
  expect(await peer.ask(`notify:id:${idFor(name)}:@alice:${name}@bob:${value}`)).toBe('data:success\n@bob@')
}
const stored = async (monitor: Client): Promise<Record<string, unknown>> => {
  const line = await monitor.line()
  expect(line).toMatch(/^notification: \{.*\}\n$/)
  return JSON.parse(line.slice('notification: '.length))
}
const idOf = async (monitor: Client): Promise<unknown> => (await stored(monitor))['id']
const idsOf = async (monitor: Client, count: number): Promise<unknown[]> => {
  const ids: unknown[] = []
  while (ids.length < count) ids.push(await idOf(monitor))
  return ids
}
const now = (): number => alice.clock.now()

test('says nothing until there is something to say, and replies carry no prompt then (page 01, section 11)', async () => {
  const client = await asOwner(alice)
  const before = client.chunks.length
  client.write('monitor\n')
  client.write('noop:0\n')
  expect(await client.line()).toBe('data:ok\n')
  expect(client.chunks.slice(before)).toEqual(['data:ok\n'])
  client.write('bogus\nllookup:x@alice\n')
  expect(await client.line()).toBe('error:AT0003-Invalid syntax : invalid command\n')
  expect(await client.line()).toMatch(/^error:AT0015-/)
  await told('first.wavi')
  expect(await idOf(client)).toBe('first-wavi')
})

test('in one write with a noop, the noop is answered and the monitor runs (page 07, 17.1)', async () => {
  const monitor = await monitorOf('monitor:selfNotifications')
  await told('together.wavi')
  expect(await idOf(monitor)).toBe('together-wavi')
})

test('a line has the members of released readers, in their order (page 07, 17.3)', async () => {
  const monitor = await monitorOf('monitor:strict')
  await peer.ask('notify:id:members:ttl:5:pubKeyHash:h:hashingAlgo:sha512:sharedKeyEnc:k:@alice:X.y@bob:v')
  const line = await monitor.line()
  expect(line).toBe(
    `notification: {"id":"members","from":"@bob","to":"@alice","key":"@alice:X.y@bob","value":"v","operation":"update",` +
      `"epochMillis":${now()},"messageType":"MessageType.key","isEncrypted":true,"metadata":{"ttr":null,"ttl":5,"ttb":null,` +
      '"sharedKeyEnc":"k","pubKeyCS":null,"dataSignature":null,"encKeyName":null,"encAlgo":null,"ivNonce":null,' +
      '"skeEncKeyName":null,"skeEncAlgo":null,"availableAt":"null","expiresAt":"2026-01-31 10:15:00.000Z",' +
      '"pubKeyHash":"{\\"hash\\":\\"h\\",\\"hashingAlgo\\":\\"sha512\\"}","appMetadata":null}}\n',
  )
  const history = await monitorOf(`monitor:strict:${now() - 1} ^@alice:X`)
  expect(await history.line()).toBe(line)
})

describe('history', () => {
  test('is what came strictly later than the given time, by time (page 04, section 9)', async () => {
    const start = now()
    await told('h0.hist')
    for (const name of ['h1.hist', 'h2.hist', 'h3.hist']) {
      alice.clock.advance(10)
      await told(name)
    }
    for (const [since, ids] of [
      [start - 1, ['h0-hist', 'h1-hist', 'h2-hist', 'h3-hist']],
      [start, ['h1-hist', 'h2-hist', 'h3-hist']],
      [start + 10, ['h2-hist', 'h3-hist']],
      [start + 29, ['h3-hist']],
    ] as const) {
      const monitor = await monitorOf(`monitor:strict:${since} hist`)
      expect(await idsOf(monitor, ids.length)).toEqual(ids)
    }
  })

  test('is not shown without a time, and is shown whole with 0', async () => {
    await told('old.zero')
    const live = await monitorOf('monitor:strict zero')
    const whole = await monitorOf('monitor:strict:0 zero')
    await told('new.zero')
    expect(await idOf(live)).toBe('new-zero')
    expect(await idsOf(whole, 2)).toEqual(['old-zero', 'new-zero'])
  })

  test('leaves out what has expired and what was sent (page 07, 17.1)', async () => {
    await peer.ask('notify:id:brief-gone:ttln:1000:@alice:brief.gone@bob:v')
    await owner.ask('notify:id:sent-gone:@bob:sent.gone@alice:v')
    alice.clock.advance(1001)
    await told('last.gone')
    const monitor = await monitorOf('monitor:strict:0 gone')
    expect(await idOf(monitor)).toBe('last-gone')
  })

  test('goes over into what is live without a gap and without a double', async () => {
    for (let i = 0; i < 50; i++) await told(`c${i}.cut`)
    const monitors = await Promise.all(Array.from({ length: 6 }, () => asOwner(alice)))
    const names = Array.from({ length: 200 }, (_, i) => `c${50 + i}.cut`)
    peer.write(names.map((name) => `notify:id:${idFor(name)}:@alice:${name}@bob:v\n`).join(''))
    for (const [i, monitor] of monitors.entries()) {
      for (let n = 0; n < 10 * i; n++) await peer.reply()
      monitor.write('monitor:strict:0 cut\n')
    }
    for (const monitor of monitors) {
      const ids = await idsOf(monitor, 250)
      expect(new Set(ids).size).toBe(250)
      monitor.write('noop:0\n')
      expect(await monitor.line()).toBe('data:ok\n')
    }
    for (let n = 0; n < 50; n++) await peer.reply()
  })
})

describe('a pattern', () => {
  test.each<[string, string[]]>([
    ['.wavi@', ['a.wavi']],
    ['.WAVI@', []],
    ['^bob$', ['a.wavi', 'B.buzz']],
    ['^@alice:B', ['B.buzz']],
    [':B', ['B.buzz']],
    ['.*', ['a.wavi', 'B.buzz']],
  ])(
    '%s is searched in the key as it was sent, or in the bare name of the sender (page 04, section 9)',
    async (pattern, ids) => {
      const live = await monitorOf(`monitor:strict ${pattern}`)
      const start = now()
      for (const name of ['a.wavi', 'B.buzz']) {
        alice.clock.advance(1)
        await told(name, String(now()))
      }
      await owner.ask(`notify:id:end:@alice:end@alice:${now()}`)
      const history = await monitorOf(`monitor:strict:${start} ${pattern}`)
      for (const monitor of [live, history]) {
        for (const id of ids) expect(await idOf(monitor)).toBe(idFor(id))
        if (pattern !== '.*') {
          monitor.write('noop:0\n')
          expect(await monitor.line()).toBe('data:ok\n')
        }
      }
    },
  )

  test('that cannot be used is told, with the prompt of a connection that has no monitor', async () => {
    const client = await asOwner(alice)
    expect(await client.ask('monitor [')).toMatch(/^error:AT0003-Invalid syntax : Invalid regex: \[ .*\n@alice@$/)
    expect(await client.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  test('of a second monitor replaces that of the first (page 04, section 9)', async () => {
    const monitor = await monitorOf('monitor:strict one')
    await monitorOf('monitor:strict two', monitor)
    await told('x.one')
    await told('x.two')
    await told('y.two')
    expect(await idsOf(monitor, 2)).toEqual(['x-two', 'y-two'])
  })
})

describe('selfNotifications (page 04, section 9)', () => {
  test('adds type self; what one sends to oneself is shown in any case', async () => {
    const directory = await startServer()
    const [plain, self] = [await asOwner(directory), await asOwner(directory)]
    plain.write('monitor:strict:0\n')
    self.write('monitor:strict:selfNotifications:0\n')
    const sender = await asOwner(directory)
    await sender.ask('notify:id:own:@alice:x.y@alice:v')
    expect([await idOf(plain), await idOf(self)]).toEqual(['own', 'own'])
  })
})

describe('the statistics line', () => {
  test('follows each change with its commit id (page 04, section 9)', async () => {
    await told('latest.stat')
    const monitor = await monitorOf('monitor')
    const id = /\d+/.exec(await owner.ask('update:stat.wavi@alice v'))?.[0]
    expect(await monitor.line()).toBe(
      `notification: {"id":"-1","from":"@alice","to":"@alice","key":"statsNotification.@alice","value":"${id}",` +
        `"operation":"update","epochMillis":${now()},"messageType":"MessageType.key","isEncrypted":false,"metadata":null}\n`,
    )
    const gone = /\d+/.exec(await owner.ask('delete:stat.wavi@alice'))?.[0]
    expect(await stored(monitor)).toMatchObject({ value: gone, operation: 'delete' })
  })

  test('comes every fifteen seconds with the last id, and keeps the connection from being idle', async () => {
    const quiet = await startServer()
    const start = quiet.clock.now()
    const monitor = await asOwner(quiet)
    monitor.write('monitor\nnoop:0\n')
    await monitor.line()
    for (let passed = 0; passed < 2 * limits.authenticatedIdleMs; passed += 15_000) {
      quiet.clock.advance(15_000)
      expect(await stored(monitor)).toMatchObject({ id: '-1', value: '0', epochMillis: start - 1 })
    }
  })

  test('passes every pattern and every namespace, except when strict asks for a match', async () => {
    const loose = await monitorOf('monitor nothing', await asEnrolled(alice, 'none'))
    const strict = await monitorOf('monitor:strict nothing')
    const asked = await monitorOf('monitor:strict ^statsNotification')
    await owner.ask('update:stat.wavi@alice v')
    await told('x.nothing')
    expect(await idOf(loose)).toBe('-1')
    expect(await idOf(asked)).toBe('-1')
    expect(await idOf(strict)).toBe('x-nothing')
  })
})

describe('an enrollment', () => {
  test('is shown what its namespaces cover (page 07, 17.1)', async () => {
    const app = await monitorOf('monitor:strict', await asEnrolled(alice, 'app'))
    const all = await monitorOf('monitor:strict', await asEnrolled(alice, 'all'))
    for (const name of ['e1.buzz', 'e2.wavi', 'e3', 'e4.__manage', 'e5.x.wavi']) await told(name)
    expect(await idsOf(app, 2)).toEqual(['e2-wavi', 'e5-x-wavi'])
    expect(await idsOf(all, 4)).toEqual(['e1-buzz', 'e2-wavi', 'e3', 'e5-x-wavi'])
  })
})

describe('the connection', () => {
  test('that loses its login loses its monitor', async () => {
    for (const line of ['from:@carol', 'from:@alice\ncram:guess']) {
      const monitor = await monitorOf('monitor')
      monitor.write(`${line}\n`)
      await monitor.take(/^.*@$/s)
      await told('secret.wavi', line.slice(5, 8))
      expect(await monitor.ask('noop:0')).toBe('data:ok\n@')
    }
  })

  test('of a client that does not read is closed, and nobody else waits for it', async () => {
    const server = await startServer()
    const sender = await asOwner(server)
    const slow = await asOwner(server)
    const quick = await asOwner(server)
    for (const monitor of [slow, quick]) {
      monitor.write('monitor:strict\nnoop:0\n')
      await monitor.line()
    }
    slow.stream.pause()
    const value = 'x'.repeat(500_000)
    const count = Math.ceil(limits.monitorBacklogBytes / value.length) + 2
    for (let i = 0; i < count; i++) {
      server.clock.advance(1)
      await sender.ask(`notify:id:big${i}:@alice:big${i}@alice:${value}`)
      expect(await idOf(quick)).toBe(`big${i}`)
    }
    expect(await sender.ask('stats:1')).toMatch(/"value":"2"/)
    // It resumes with the time of its last notification and gets all of them.
    const again = await asOwner(server)
    again.write('monitor:strict:0\n')
    expect(await idsOf(again, 5)).toEqual(['big0', 'big1', 'big2', 'big3', 'big4'])
  })
})

test('nobody but the owner may listen', async () => {
  for (const client of [await raw(alice), peer]) {
    expect(await client.ask('monitor')).toBe('error:AT0401-Exception: Command cannot be executed without auth\n@')
  }
})

test.each([
  'monitor:',
  'monitor:bogus',
  'monitor:-1',
  'monitor:0:strict',
  'monitor:strict:strict',
  'monitor a b',
  'monitor:9999999999999999',
])('%s is a syntax error', async (line) => {
  expect(await owner.ask(line)).toMatch(/^error:AT0003-.*\n@alice@$/)
})

describe('multiplexed', () => {
  test('holds notifications back while a command of the same connection is answered', async () => {
    const monitor = await monitorOf('monitor:strict:multiplexed')
    const others = await monitorOf('monitor:strict')
    monitor.write('noop:100\n')
    await told('behind.wavi')
    await told('second.wavi')
    expect(await idsOf(others, 2)).toEqual(['behind-wavi', 'second-wavi'])
    alice.clock.advance(100)
    expect(await monitor.line()).toBe('data:ok\n')
    expect(await idsOf(monitor, 2)).toEqual(['behind-wavi', 'second-wavi'])
    await told('after.wavi')
    expect(await idOf(monitor)).toBe('after-wavi')
  })

  test('has its history wait for the reply under way, however long that history is', async () => {
    const server = await startServer()
    const sender = await asOwner(server)
    const count = 60
    for (let i = 0; i < count; i++) {
      server.clock.advance(1)
      await sender.ask(`notify:id:long${i}:@alice:long${i}@alice:${'x'.repeat(100_000)}`)
    }
    const monitor = await asOwner(server)
    monitor.write(`monitor:strict:selfNotifications:multiplexed:0\nnoop:${limits.noopMs}\n`)
    const ids = Array.from({ length: count }, (_, i) => `long${i}`)
    // Whoever comes later and waits for nothing has read everything: so long the reply is under way.
    const later = await asOwner(server)
    later.write('monitor:strict:0\n')
    expect(await idsOf(later, count)).toEqual(ids)
    server.clock.advance(limits.noopMs)
    expect(await monitor.line()).toBe('data:ok\n')
    expect(await idsOf(monitor, count)).toEqual(ids)
  })

  test('shows nothing of what was held once the login is gone', async () => {
    const monitor = await monitorOf('monitor:strict:multiplexed')
    monitor.write('noop:100\nfrom:@bob\n')
    alice.clock.advance(100)
    expect(await monitor.line()).toBe('data:ok\n')
    expect(await monitor.line()).toMatch(/^data:proof:/)
    await told('lost.wavi')
    expect(await monitor.ask('noop:0')).toBe('@data:ok\n@')
  })

  test('without it they come at once', async () => {
    const monitor = await monitorOf('monitor:strict')
    monitor.write('noop:100\n')
    await told('between.wavi')
    expect(await idOf(monitor)).toBe('between-wavi')
    alice.clock.advance(100)
    expect(await monitor.line()).toBe('data:ok\n')
  })
})
