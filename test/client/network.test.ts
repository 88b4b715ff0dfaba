import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AtServer, createAtServer } from '../../src/app.ts'
import { type AtClient, connectAtClient, type ReceivedNotification } from '../../src/client/client.ts'
import { inProcessPair } from '../../src/client/in-process.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silent } from '../../src/core/log.ts'
import type { AtKeys } from '../../src/crypto/keys-file.ts'
import { staticResolver } from '../../src/directory/resolver.ts'
import { dialTls } from '../../src/net/dial.ts'
import { type Listener, listenTls } from '../../src/net/listen.ts'
import { activate } from '../../src/provision/activation.ts'
import { issue, newAuthority } from '../net/certificates.ts'

/** One atSign with its own atServer, its keys and its client. */
interface Party {
  readonly server: AtServer
  readonly keys: AtKeys
  readonly client: AtClient
}

const clock = systemClock
let folder: string
const servers = new Map<string, AtServer>()
let alice: Party
let bob: Party

const accept = (server: AtServer): Duplex => {
  const [near, far] = inProcessPair()
  server.handle(far, { remoteAddress: 'in-process', certificate: undefined })
  return near
}

async function party(atSign: AtSign): Promise<Party> {
  const server = await createAtServer({
    atSign,
    directory: join(folder, atSign),
    resolver: staticResolver([
      ['alice', 'alice:1'],
      ['bob', 'bob:1'],
    ]),
    dial: async ({ host }) => {
      const other = servers.get(host)
      if (other === undefined) throw new Error(`nobody is called ${host}`)
      return accept(other)
    },
    clock,
    log: silent,
    version: '0.0.0',
  })
  servers.set(atSign.slice(1), server)
  const connect = async (): Promise<Duplex> => accept(server)
  const secret = (await server.cramSecret()) ?? ''
  const keys = await activate({ atSign, secret, connect, clock })
  const client = await connectAtClient({ atSign, keys, connect, clock })
  return { server, keys, client }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atedge-client-'))
  ;[alice, bob] = await Promise.all([party('@alice'), party('@bob')])
})

afterAll(async () => {
  for (const { client, server } of [alice, bob]) {
    await client.close()
    await server.close()
  }
  await rm(folder, { recursive: true, force: true })
})

async function next(monitor: AsyncIterator<ReceivedNotification>): Promise<ReceivedNotification> {
  const { value, done } = await monitor.next()
  if (done) throw new Error('the monitor has ended')
  return value
}

describe('two atSigns with atServers of their own', () => {
  it('keep their own values', async () => {
    const { client } = alice
    const id = await client.put('pin.wavi', 'one two three')
    expect(await client.put('pin.wavi', '4711 °C\nnext line')).toBeGreaterThan(id)
    expect((await client.get('pin.wavi'))?.value).toBe('4711 °C\nnext line')
    expect((await client.get('pin.wavi'))?.metadata).toMatchObject({ isEncrypted: true })
    expect(await client.scan('pin')).toEqual(['pin.wavi@alice'])
    await client.delete('pin.wavi')
    expect(await client.get('pin.wavi')).toBeUndefined()
  })

  it('store nothing readable', async () => {
    await alice.client.put('secret.wavi', 'nobody reads this')
    expect(await alice.client.request('llookup:secret.wavi@alice')).not.toContain('nobody')
  })

  it('read public values of each other', async () => {
    for (const value of ['21.5', 'two\nlines', ' blanks ']) {
      await alice.client.put('public:temp.sensors', value)
      expect((await bob.client.get('public:temp.sensors@alice', { bypassCache: true }))?.value).toBe(value)
    }
    expect(await bob.client.get('public:nothing.sensors@alice')).toBeUndefined()
  })

  it('read what is shared with them, and the owner does too', async () => {
    await alice.client.put('@bob:temp.sensors', '{"t":21.5,"u":"°C"}', { ttr: -1 })
    expect((await bob.client.get('temp.sensors@alice'))?.value).toBe('{"t":21.5,"u":"°C"}')
    expect((await bob.client.get('temp.sensors@alice'))?.value).toBe('{"t":21.5,"u":"°C"}')
    expect((await alice.client.get('@bob:temp.sensors'))?.value).toBe('{"t":21.5,"u":"°C"}')
    expect(await bob.client.get('other.sensors@alice')).toBeUndefined()
    expect(await bob.client.scan(undefined, { atSign: '@alice' })).toContain('temp.sensors@alice')
  })

  it('send notifications to each other and to themselves', async () => {
    const atBob = bob.client.monitor({ since: 0, pattern: 'commands' })[Symbol.asyncIterator]()
    const atAlice = alice.client.monitor({ since: 0, pattern: 'note' })[Symbol.asyncIterator]()
    const id = await alice.client.notify('@bob:valve.commands', 'open')
    expect(await next(atBob)).toMatchObject({
      ...{ id, from: '@alice', to: '@bob', key: '@bob:valve.commands@alice', value: 'open', operation: 'update' },
    })
    await alice.client.notify('@bob:valve.commands', undefined, { operation: 'delete' })
    expect(await next(atBob)).toMatchObject({ value: null, operation: 'delete' })
    await alice.client.notify('@alice:note.ns', 'to myself')
    expect(await next(atAlice)).toMatchObject({ from: '@alice', value: 'to myself' })
    await Promise.all([atBob.return?.(), atAlice.return?.()])
  })

  it('replay what was missed', async () => {
    const first = await alice.client.notify('@bob:a.replay', 'one')
    const second = await alice.client.notify('@bob:b.replay', 'two')
    const monitor = bob.client.monitor({ since: 0, pattern: 'replay' })[Symbol.asyncIterator]()
    expect([await next(monitor), await next(monitor)].map(({ id, value }) => [id, value])).toEqual([
      [first, 'one'],
      [second, 'two'],
    ])
    await monitor.return?.()
  })

  it('tell that an activated atSign cannot be activated again', async () => {
    const connect = async (): Promise<Duplex> => accept(alice.server)
    const other = { ...bob.keys, atSign: '@alice' } as const
    await expect(activate({ atSign: '@alice', secret: 'x', connect, clock, keys: other })).rejects.toMatchObject({
      code: 'AT0032',
    })
    await expect(activate({ atSign: '@alice', secret: 'x', connect, clock, keys: bob.keys })).rejects.toMatchObject({
      code: 'AT0022',
    })
    await expect(activate({ atSign: '@alice', secret: 'x', connect, clock, keys: alice.keys })).resolves.toEqual(
      alice.keys,
    )
  })
})

describe('a client over TLS', () => {
  let listener: Listener
  let ca: string

  beforeAll(async () => {
    const authority = await newAuthority('client tests')
    ca = authority.certificate
    listener = await listenTls({
      ...(await issue(authority, ['localhost'])),
      ...{ host: '127.0.0.1', port: 0, handshakeMs: 5_000, log: silent },
      onConnection: (socket, info) => alice.server.handle(socket, info),
    })
  })

  afterAll(() => listener.close())

  it('does the same', async () => {
    const connect = (): Promise<Duplex> => dialTls({ host: 'localhost', port: listener.port, ca: [ca], clock })
    const client = await connectAtClient({ atSign: '@alice', keys: alice.keys, connect, clock })
    const monitor = client.monitor({ since: 0, pattern: 'tls' })[Symbol.asyncIterator]()
    const values = Array.from({ length: 50 }, (_, index) => `value ${index} ${'x'.repeat(index * 1_000)}`)
    await Promise.all(values.map((value, index) => client.put(`k${index}.tls`, value)))
    const read = await Promise.all(values.map((_value, index) => client.get(`k${index}.tls`)))
    expect(read.map((record) => record?.value)).toEqual(values)
    await client.notify('@alice:n.tls', 'hello')
    expect((await next(monitor)).value).toBe('hello')
    await client.close()
    expect((await monitor.next()).done).toBe(true)
  })
})
