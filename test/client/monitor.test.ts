import { describe, expect, it } from 'vitest'
import { type AtClient, connectAtClient, type ReceivedNotification } from '../../src/client/client.ts'
import { AtError } from '../../src/core/errors.ts'
import { encryptText, newAesKey, wrapKey } from '../../src/crypto/cipher.ts'
import { auth, ciphertexts, client as vectors } from '../crypto/vectors.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { aliceKeys, answers, type FakeConnection, fakeServer, type Script, settle } from './fake-server.ts'

const iv = vectors.iv
const cipher = ciphertexts[0][2]

interface Line {
  id?: string
  from?: string
  key?: string
  value?: string | null
  at?: number
  isEncrypted?: unknown
  metadata?: object | null
  messageType?: string
  operation?: string
}

/** A monitor line as the atServer writes it. */
function line({
  id = 'n1',
  from = '@bob',
  key = '@alice:temp.sensors@bob',
  value = cipher,
  at = 1_000,
  ...more
}: Line): string {
  const {
    isEncrypted = true,
    metadata = { ivNonce: iv, sharedKeyEnc: vectors.wrapped },
    messageType = 'MessageType.key',
  } = more
  const { operation = 'update' } = more
  const shown = { id, from, to: '@alice', key, value, operation, epochMillis: at, messageType, isEncrypted, metadata }
  return `notification: ${JSON.stringify(shown)}\n`
}

interface World {
  readonly client: AtClient
  readonly clock: ManualClock
  readonly server: ReturnType<typeof fakeServer>
  /** The nth connection that a monitor made. */
  monitor(index: number): FakeConnection
}

const quiet: Script = (command, connection) =>
  command.startsWith('monitor') ? undefined : command === 'noop:0' ? 'data:ok' : answers({})(command, connection)

async function world(script: Script = quiet): Promise<World> {
  const clock = manualClock(1_700_000_000_000)
  const server = fakeServer(script)
  const client = await connectAtClient({
    atSign: '@alice',
    keys: aliceKeys,
    connect: server.connect,
    clock,
    random: () => 0,
  })
  const monitor = (index: number): FakeConnection => {
    const found = server.connections.filter(({ lines }) => lines[0]?.startsWith('monitor'))[index]
    if (found === undefined) throw new Error(`there is no monitor connection ${index}`)
    return found
  }
  return { client, clock, server, monitor }
}

/** Collects what a monitor yields; `end` is how it ended. */
function collect(iterable: AsyncIterable<ReceivedNotification>) {
  const items: ReceivedNotification[] = []
  const end = (async () => {
    for await (const item of iterable) items.push(item)
    return 'done'
  })().catch((error: unknown) => (error instanceof AtError ? `${error.code} ${error.message}` : String(error)))
  return { items, end, ids: () => items.map(({ id }) => id) }
}

describe('a monitor', () => {
  it('has a connection of its own and decrypts what arrives', async () => {
    const { client, server, monitor } = await world()
    const { items } = collect(client.monitor())
    await settle()
    expect(server.connections).toHaveLength(2)
    expect(monitor(0).lines).toEqual(['monitor:strict'])
    monitor(0).send(line({}))
    await settle()
    expect(items).toEqual([
      {
        id: 'n1',
        from: '@bob',
        to: '@alice',
        key: '@alice:temp.sensors@bob',
        value: '21.5',
        operation: 'update',
        at: 1_000,
      },
    ])
  })

  it('asks for a replay and a pattern', async () => {
    const { client, monitor } = await world()
    collect(client.monitor({ since: 0 }))
    collect(client.monitor({ since: 1_729_764_000_000, pattern: '.*:commands' }))
    collect(client.monitor({ pattern: 'WAVI' }))
    await settle()
    expect([0, 1, 2].map((index) => monitor(index).lines[0])).toEqual([
      'monitor:strict:0',
      'monitor:strict:1729764000000 .*:commands',
      'monitor:strict WAVI',
    ])
  })

  it('understands lines that arrive byte by byte behind a prompt', async () => {
    const { client, monitor } = await world()
    const { ids } = collect(client.monitor())
    await settle()
    for (const byte of Buffer.from(`@alice@${line({ id: 'a' })}@alice@${line({ id: 'b' })}`)) {
      monitor(0).send(String.fromCharCode(byte))
    }
    await settle()
    expect(ids()).toEqual(['a', 'b'])
  })

  it('reads every form of a value', async () => {
    const { client, monitor } = await world()
    const { items } = collect(client.monitor())
    await settle()
    const fresh = newAesKey()
    const forms: Line[] = [
      { value: ciphertexts[0][1], metadata: { sharedKeyEnc: vectors.wrapped } },
      {
        value: encryptText('own key', fresh, iv),
        metadata: { ivNonce: iv, sharedKeyEnc: wrapKey(vectors.publicKey, fresh) },
      },
      { value: 'plain', isEncrypted: false, metadata: null },
      { value: null, operation: 'delete' },
      { from: '@alice', key: '@alice:note.ns@alice', value: cipher, metadata: { ivNonce: iv } },
      { key: '@alice:shared_key@bob', value: vectors.wrapped },
      { key: '@alice:Hello There', value: null, isEncrypted: false, messageType: 'MessageType.text', metadata: null },
      { key: `@alice:${cipher}`, value: null, messageType: 'MessageType.text' },
      { value: 21.5 as unknown as string, isEncrypted: false },
    ]
    for (const [index, form] of forms.entries()) monitor(0).send(line({ id: `f${index}`, ...form }))
    await settle()
    expect(items.map(({ value }) => value)).toEqual([
      '21.5',
      'own key',
      'plain',
      null,
      '21.5',
      vectors.wrapped,
      'Hello There',
      '21.5',
      '21.5',
    ])
    expect(items.filter(({ problem }) => problem !== undefined)).toEqual([])
    expect(items[3]?.operation).toBe('delete')
  })

  it('fetches the key of the sender when none is inside, and keeps the order meanwhile', async () => {
    const { client, server, monitor } = await world((command, connection) =>
      command === 'lookup:shared_key@bob' ? `data:${vectors.wrapped}` : quiet(command, connection),
    )
    const { items } = collect(client.monitor())
    await settle()
    monitor(0).send(line({ id: 'a', metadata: { ivNonce: iv } }))
    monitor(0).send(line({ id: 'b', isEncrypted: false, value: 'plain' }))
    await settle()
    expect(items.map(({ value }) => value)).toEqual(['21.5', 'plain'])
    expect(server.connections[0]?.lines).toEqual(['llookup:cached:@alice:shared_key@bob', 'lookup:shared_key@bob'])
  })

  it('says why a value cannot be read and goes on', async () => {
    const { client, monitor } = await world()
    const { items } = collect(client.monitor())
    await settle()
    monitor(0).send(line({ id: 'a', metadata: { ivNonce: iv } }))
    monitor(0).send(line({ id: 'b', metadata: { ivNonce: iv, sharedKeyEnc: wrapKey(auth.rsaPublic, vectors.aesKey) } }))
    monitor(0).send(line({ id: 'c', metadata: { ivNonce: iv, appMetadata: { providerId: 'com.example' } } }))
    monitor(0).send(line({ id: 'd' }))
    await settle()
    expect(items.map(({ id, value }) => [id, value])).toEqual([
      ['a', null],
      ['b', null],
      ['c', null],
      ['d', '21.5'],
    ])
    expect(items[0]?.problem).toContain('@bob shares no key with @alice')
    expect(items[2]?.problem).toContain('"com.example"')
    expect(items[3]).not.toHaveProperty('problem')
  })

  it('hides statistics and lines that are no notification', async () => {
    const { client, monitor } = await world()
    const { ids } = collect(client.monitor())
    await settle()
    monitor(0).send(line({ id: '-1', from: '@alice', key: 'statsNotification.@alice', value: '17', metadata: null }))
    for (const text of [
      'notification: {}',
      'notification: [',
      'notification: null',
      'notification:',
      'notification: 5',
    ]) {
      monitor(0).send(`${text}\n`)
    }
    monitor(0).send(line({ id: 'a', from: 'not an atSign' }))
    monitor(0).send(line({ id: 'b' }))
    await settle()
    expect(ids()).toEqual(['b'])
  })
})

describe('a monitor whose connection breaks', () => {
  it('resumes where it was and leaves out what it had', async () => {
    const { client, clock, monitor } = await world()
    const { ids } = collect(client.monitor())
    await settle()
    monitor(0).send(line({ id: 'a', at: 5_000 }) + line({ id: 'b', at: 6_000 }))
    await settle()
    monitor(0).drop()
    await settle()
    clock.advance(500)
    await settle()
    expect(monitor(1).lines).toEqual(['monitor:strict:5999'])
    monitor(1).send(line({ id: 'b', at: 6_000 }) + line({ id: 'c', at: 6_000 }) + line({ id: 'd', at: 7_000 }))
    await settle()
    expect(ids()).toEqual(['a', 'b', 'c', 'd'])
  })

  it('keeps notifications of senders that give all of them one id', async () => {
    const { client, monitor } = await world()
    const { items } = collect(client.monitor())
    await settle()
    for (const value of ['one', 'two', 'two']) monitor(0).send(line({ id: 'same', value, isEncrypted: false }))
    await settle()
    expect(items.map(({ value }) => value)).toEqual(['one', 'two'])
  })

  it('misses nothing that arrives during the very first loss', async () => {
    const { client, clock, monitor } = await world()
    collect(client.monitor())
    await settle()
    monitor(0).drop()
    await settle()
    clock.advance(500)
    await settle()
    expect(monitor(1).lines).toEqual(['monitor:strict:1700000000000'])
  })

  it('pauses longer after each failure', async () => {
    const { client, clock, server, monitor } = await world()
    collect(client.monitor())
    await settle()
    server.state.failures = 3
    monitor(0).drop()
    await settle()
    const dials = server.state.dials
    for (const [index, ms] of [500, 1_000, 2_000, 4_000].entries()) {
      clock.advance(ms - 1)
      await settle()
      expect(server.state.dials).toBe(dials + index)
      clock.advance(1)
      await settle()
      expect(server.state.dials).toBe(dials + index + 1)
    }
    expect(monitor(1).lines).toHaveLength(1)
  })

  it('sends a heartbeat every 30 seconds and notices when it is not answered', async () => {
    let alive = true
    const { client, clock, monitor } = await world((command, connection) =>
      command === 'noop:0' && !alive ? undefined : quiet(command, connection),
    )
    collect(client.monitor())
    await settle()
    for (let beat = 0; beat < 3; beat++) {
      clock.advance(30_000)
      await settle()
    }
    expect(monitor(0).lines).toEqual(['monitor:strict', 'noop:0', 'noop:0', 'noop:0'])
    alive = false
    clock.advance(30_000)
    await settle()
    clock.advance(10_000)
    await settle()
    clock.advance(500)
    await settle()
    expect(monitor(1).lines[0]).toMatch(/^monitor:strict:/)
  })
})

describe('a monitor ends', () => {
  it('with its signal, also while it waits', async () => {
    const { client, monitor } = await world()
    const abort = new AbortController()
    const { ids, end } = collect(client.monitor({ signal: abort.signal }))
    await settle()
    monitor(0).send(line({ id: 'a' }))
    await settle()
    abort.abort()
    expect(await end).toBe('done')
    expect(ids()).toEqual(['a'])
    const never = collect(client.monitor({ signal: abort.signal }))
    expect(await never.end).toBe('done')
  })

  it('with the loop that reads it', async () => {
    const { client, clock, server, monitor } = await world()
    const iterable = client.monitor()
    await settle()
    monitor(0).send(line({ id: 'a' }))
    for await (const item of iterable) {
      expect(item.id).toBe('a')
      break
    }
    clock.advance(3_600_000)
    await settle()
    expect(server.connections).toHaveLength(2)
  })

  it('with the client', async () => {
    const { client } = await world()
    const { end } = collect(client.monitor())
    await settle()
    await client.close()
    expect(await end).toBe('done')
  })

  it('with the error of its first connection', async () => {
    const { client, server } = await world()
    server.state.failures = 1
    expect(await collect(client.monitor()).end).toContain('no route')
  })

  it('with a refusal of its pattern', async () => {
    const { client } = await world((command) =>
      command.startsWith('monitor') ? 'error:AT0003-Invalid syntax : Invalid regex: (' : 'data:ok',
    )
    expect(await collect(client.monitor({ pattern: '(' })).end).toBe('AT0003 Invalid regex: (')
  })

  it('stops reading while nobody takes its notifications', async () => {
    const { client, monitor } = await world()
    const iterator = client.monitor()[Symbol.asyncIterator]()
    await settle()
    for (let index = 0; index < 3_000; index++) {
      monitor(0).send(line({ id: `n${index}`, value: 'v'.repeat(500), isEncrypted: false }))
    }
    await settle()
    const ids: string[] = []
    for (let index = 0; index < 3_000; index++) ids.push((await iterator.next()).value.id)
    expect(ids).toEqual(Array.from({ length: 3_000 }, (_, index) => `n${index}`))
  })
})
