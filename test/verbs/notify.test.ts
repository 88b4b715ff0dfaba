import { beforeAll, describe, expect, test } from 'vitest'
import { until } from '../support/network.ts'
import {
  asEnrolled,
  asOwner,
  asPeer,
  type Client,
  connectServers,
  provenPair,
  raw,
  startServer,
  type TestServer,
  type TestServerOptions,
} from '../support/server.ts'

let alice: TestServer
let bob: TestServer
let owner: Client
let peer: Client
let listener: Client
beforeAll(async () => {
  ;({ alice, bob, owner, peer } = await provenPair({
    app: { namespaces: { wavi: 'rw' } },
    reader: { namespaces: { '*': 'r' } },
  }))
  listener = await asOwner(alice)
  listener.write('monitor:strict\n')
})

interface Shown {
  readonly id: string
  readonly key: string
  readonly value: string | null
  readonly metadata: Record<string, unknown>
  readonly [member: string]: unknown
}

async function shown(monitor: Client = listener): Promise<Shown> {
  return JSON.parse((await monitor.line()).slice('notification: '.length))
}

const idReply = /^data:[0-9a-f-]{36}\n@alice@$/
const success = 'data:success\n@bob@'

describe('to oneself', () => {
  test('it is stored as received, delivered, and shown (page 04, section 4)', async () => {
    const reply = await owner.ask('notify:update:isEncrypted:false:@alice:Temp.sensors@alice:21.5')
    expect(reply).toMatch(idReply)
    const id = reply.slice('data:'.length, reply.indexOf('\n'))
    expect(await shown()).toEqual({
      ...{ id, from: '@alice', to: '@alice', key: '@alice:Temp.sensors@alice', value: '21.5', operation: 'update' },
      ...{ epochMillis: alice.clock.now(), messageType: 'MessageType.key', isEncrypted: false },
      metadata: expect.objectContaining({ ttr: null, availableAt: 'null', expiresAt: '2026-01-31 10:15:00.000Z' }),
    })
    expect(await owner.ask(`notify:status:${id}`)).toBe('data:delivered\n@alice@')
  })

  test('the id may be the client’s own, and the owner of the key may be left out', async () => {
    expect(await owner.ask('notify:id:my-id_1:@alice:phone.wavi:v')).toBe('data:my-id_1\n@alice@')
    expect(await shown()).toMatchObject({
      id: 'my-id_1',
      key: '@alice:phone.wavi@alice',
      value: 'v',
      isEncrypted: true,
    })
  })

  test('no copy is kept of it', async () => {
    await owner.ask('notify:ttr:-1:@alice:nocopy.wavi@alice:v')
    await shown()
    expect(await owner.ask('llookup:cached:@alice:nocopy.wavi@alice')).toMatch(/^error:AT0015-/)
  })
})

describe('a text', () => {
  const texts = [
    'Hello there',
    'Hello: there, 10:30',
    'mail joe.Smith@Example.com',
    'mail joe@example.com: at once',
    'write to joe@example.com now',
    'two: a@b c@d',
    '@',
    'été 🦄',
  ]
  test.each(texts)('arrives as it was written: %s', async (text) => {
    expect(await owner.ask(`notify:messageType:text:@alice:${text}`)).toMatch(idReply)
    expect(await shown()).toMatchObject({
      ...{ key: `@alice:${text}`, value: null, messageType: 'MessageType.text', isEncrypted: false },
    })
    expect(await peer.ask(`notify:messageType:text:@alice:${text}`)).toBe(success)
    expect(await shown()).toMatchObject({ key: `@alice:${text}`, from: '@bob' })
  })

  test('loses the sender’s own name behind it (page 04, section 4), and at_c’s message_type means the same', async () => {
    await owner.ask('notify:message_type:TEXT:@alice:Hello@alice')
    expect(await shown()).toMatchObject({ key: '@alice:Hello', messageType: 'MessageType.text' })
  })

  test('is encrypted only if it says so', async () => {
    await owner.ask('notify:messageType:text:isEncrypted:true:@alice:Y2lwaGVy')
    expect(await shown()).toMatchObject({ isEncrypted: true })
  })

  test('is sent by an enrollment that may write what has no namespace', async () => {
    const [app, reader] = [await asEnrolled(alice, 'app'), await asEnrolled(alice, 'reader')]
    for (const client of [app, reader]) {
      expect(await client.ask('notify:messageType:text:@bob:Hello')).toMatch(/^error:AT0009-.*\n@alice@$/)
    }
  })
})

describe('to another atSign', () => {
  test('it is queued, delivered and shown there', async () => {
    const theirs = await asOwner(bob)
    theirs.write('monitor:strict\n')
    expect(await owner.ask('notify:id:to-bob:ttl:60000:ivNonce:abc:@bob:Phone.wavi@alice:v: w@x')).toBe(
      'data:to-bob\n@alice@',
    )
    expect(await shown(theirs)).toMatchObject({
      ...{ id: 'to-bob', from: '@alice', to: '@bob', key: '@bob:Phone.wavi@alice', value: 'v: w@x' },
      metadata: { ttl: 60000, ivNonce: 'abc' },
    })
  })

  test('it waits when the recipient is away (page 04, section 4)', async () => {
    expect(await owner.ask('notify:id:away:@nobody:phone.wavi@alice:v')).toBe('data:away\n@alice@')
    expect(await owner.ask('notify:status:away')).toMatch(/^data:(queued|errored)\n@alice@$/)
  })

  test('an expiry in the past is accepted, and nothing is stored (page 07, section 15)', async () => {
    expect(await owner.ask('notify:id:past:eAtn:2020-01-01T00:00:00Z:@bob:phone.wavi@alice:v')).toBe(
      'data:past\n@alice@',
    )
    expect(await owner.ask('notify:status:past')).toBe('data:null\n@alice@')
  })

  test('an enrollment needs rw on the key’s namespace (page 04, section 4)', async () => {
    const [app, reader] = [await asEnrolled(alice, 'app'), await asEnrolled(alice, 'reader')]
    expect(await app.ask('notify:@alice:x.wavi@alice:v')).toMatch(idReply)
    await shown()
    expect(await app.ask('notify:@bob:x.buzz@alice:v')).toBe(
      'error:AT0009-UnAuthorized client in request : Connection with enrollment ID app is not authorized to notify ' +
        'key: @bob:x.buzz@alice\n@alice@',
    )
    expect(await reader.ask('notify:@bob:x.wavi@alice:v')).toMatch(/^error:AT0009-/)
  })

  test('nobody sends in another name', async () => {
    expect(await owner.ask('notify:@bob:phone.wavi@colin:v')).toBe(
      'error:AT0009-UnAuthorized client in request : @colin is not authorized to send notification as @alice\n@alice@',
    )
  })
})

describe('the life of a notification (page 07, section 15)', () => {
  test.each([
    ['', '2026-01-31 10:15:00.000Z'],
    ['ttln:0:', '2026-01-31 10:15:00.000Z'],
    ['ttln:60000:', '2026-01-31 10:01:00.000Z'],
    ['ttln:999999999999:', '2026-02-08 10:00:00.000Z'],
    ['eAtn:2026-02-01T00:00:00.5Z:', '2026-02-01 00:00:00.500Z'],
    ['eAtn:2030-02-01T00:00:00Z:', '2026-02-08 10:00:00.000Z'],
    ['ttln:60000:eAt:2030-01-01T00:00:00Z:', '2030-01-01 00:00:00.000Z'],
  ])('notify:%s… expires at %s', async (option, expiresAt) => {
    await owner.ask(`notify:${option}@alice:life.wavi@alice:v`)
    expect((await shown()).metadata['expiresAt']).toBe(expiresAt)
  })
})

describe('from a peer', () => {
  test('it is shown with the time of receipt', async () => {
    alice.clock.advance(1000)
    const line = 'notify:id:p1:update:messageType:key:notifier:SYSTEM:ttln:60000:isEncrypted:false:@alice:X.y@bob:v'
    expect(await peer.ask(line)).toBe(success)
    expect(await shown()).toMatchObject({
      ...{ id: 'p1', from: '@bob', to: '@alice', key: '@alice:X.y@bob', epochMillis: alice.clock.now() },
    })
  })

  test('a repeat counts once, other content under the same id counts again (page 04, section 4)', async () => {
    for (const value of ['one', 'one', 'two']) {
      expect(await peer.ask(`notify:id:same:@alice:x.y@bob:${value}`)).toBe(success)
    }
    expect([(await shown()).value, (await shown()).value]).toEqual(['one', 'two'])
  })

  test('nothing of others changes by the choice of an id', async () => {
    const theirs = await asOwner(bob)
    await owner.ask('notify:id:chosen:@nobody:x.wavi@alice:to another')
    await owner.ask('notify:id:chosen-too:@alice:x.wavi@alice:to myself')
    await shown()
    for (const id of ['chosen', 'chosen-too']) {
      expect(await peer.ask(`notify:id:${id}:@alice:x.wavi@bob:from a peer`)).toBe(success)
      expect((await shown()).value).toBe('from a peer')
    }
    expect(await owner.ask('notify:fetch:chosen')).toContain('"atValue":"to another"')
    const list = await owner.ask('notify:list:x.wavi@alice')
    expect(list).toContain('"value":"to myself"')
    expect(await theirs.ask('notify:status:chosen')).toBe('data:null\n@bob@')
  })

  test('one that has expired is accepted and dropped (page 07, E48)', async () => {
    expect(await peer.ask('notify:id:late:eAtn:2020-01-01T00:00:00Z:@alice:x.y@bob:v')).toBe(success)
    expect(await owner.ask('notify:status:late')).toBe('data:null\n@alice@')
  })

  test.each([
    ['notify:id:n6:update:messageType:key:@carol:phone.wavi@bob:v', 'Notification from @bob is for @carol, not @alice'],
    ['notify:id:n8:update:public:phone.wavi@bob:v', 'Notification from @bob is for no atSign, not @alice'],
    ['notify:id:n9:update:@alice:phone.wavi:v', 'Notification from @bob is of a key with no sharedBy'],
    [
      'notify:id:n7:update:messageType:key:@alice:phone.wavi@eve:v',
      '@eve is not authorized to send notification as @bob',
    ],
    ['notify:messageType:text:@carol:Hello', 'Notification from @bob is for @carol, not @alice'],
  ])('%s is refused and the connection stays open (page 07, 16.3)', async (line, reason) => {
    expect(await peer.ask(line)).toBe(`error:AT0009-Exception: ${reason}\n@`)
    expect(await peer.ask('noop:0')).toBe('data:ok\n@bob@')
  })

  test('with ttr a copy is kept, with the times of its owner (page 07, E52 and E53)', async () => {
    const times = 'cAt:2020-01-02T03:04:05.678000Z:uAt:2021-02-03T04:05:06.789000Z:eAt:2030-01-01T00:00:00.000000Z'
    await peer.ask(`notify:id:rcv-1:update:messageType:key:ttr:100000:ccd:true:${times}:@alice:copy.wavi@bob:hello`)
    await shown()
    expect(await owner.ask('llookup:cached:@alice:copy.wavi@bob')).toBe('data:hello\n@alice@')
    const meta = await owner.ask('llookup:meta:cached:@alice:copy.wavi@bob')
    expect(JSON.parse(meta.slice('data:'.length, meta.indexOf('\n')))).toMatchObject({
      ...{ createdAt: '2020-01-02 03:04:05.678Z', updatedAt: '2021-02-03 04:05:06.789Z' },
      ...{ expiresAt: '2030-01-01 00:00:00.000Z', ttr: 100000, ccd: true, createdBy: '@bob' },
    })
    await peer.ask('notify:id:rcv-5:delete:messageType:key:uAt:2021-02-03T04:05:06.789000Z:@alice:copy.wavi@bob')
    await shown()
    expect(await owner.ask('llookup:cached:@alice:copy.wavi@bob')).toMatch(/^error:AT0015-/)
    expect(await owner.ask('scan:cl copy')).toContain('"operation":"-","commitId":')
    expect(await owner.ask('scan:cl copy')).toContain('"opTime":"2021-02-03T04:05:06.789000Z"')
  })

  test('without ttr no copy is kept; a copy without ccd outlives the record (page 04, section 6)', async () => {
    await peer.ask('notify:@alice:none.wavi@bob:v')
    await peer.ask('notify:ttr:-1:@alice:stays.wavi@bob:v')
    await peer.ask('notify:delete:ccd:true:ttr:-1:@alice:stays.wavi@bob')
    expect([(await shown()).key, (await shown()).key, (await shown())['operation']]).toEqual([
      '@alice:none.wavi@bob',
      '@alice:stays.wavi@bob',
      'delete',
    ])
    expect(await owner.ask('llookup:cached:@alice:none.wavi@bob')).toMatch(/^error:AT0015-/)
    expect(await owner.ask('llookup:cached:@alice:stays.wavi@bob')).toBe('data:v\n@alice@')
  })
})

describe('the room of a peer', () => {
  const plenty = { count: 100, bytes: 100_000 }
  /** @carol with so much room for each peer, and sessions of @bob and @dave there. */
  async function crowded(peerQuota: NonNullable<TestServerOptions['peerQuota']>) {
    const server = await startServer({ atSign: '@carol', peerQuota })
    const dave = await startServer({ atSign: '@dave' })
    // Until shortly before the sweep for what has expired.
    server.clock.advance(590_000)
    for (const from of [bob, dave]) connectServers(server, from)
    const [one, other] = [await asPeer(server, bob), await asPeer(server, dave)]
    const send = (line: string): Promise<string> => one.ask(`notify:${line}`)
    return { server, send, sendAsDave: (line: string): Promise<string> => other.ask(`notify:${line}`) }
  }

  test('is bounded in notifications: no more until there is room, and others are not concerned', async () => {
    const { server, send, sendAsDave } = await crowded({ notifications: { ...plenty, count: 3 }, copies: plenty })
    for (const id of ['1', '2', '3']) expect(await send(`id:${id}:ttln:5000:@carol:x.wavi@bob:v`)).toBe(success)
    expect(await send('id:4:@carol:x.wavi@bob:v')).toMatch(/^error:AT0028-.*3 notifications of @bob are held.*\n@$/)
    expect(await send('id:3:@carol:x.wavi@bob:v')).toBe(success)
    expect(await sendAsDave('id:4:@carol:x.wavi@dave:v')).toBe('data:success\n@dave@')
    server.clock.advance(20_000)
    await until(async () => (await send('id:4:@carol:x.wavi@bob:v')) === success)
  })

  test('goes to its newest notifications, as soon as the oldest have been there for some seconds', async () => {
    const { server, send, sendAsDave } = await crowded({ notifications: { ...plenty, count: 16 }, copies: plenty })
    expect(await sendAsDave('id:0:@carol:x.wavi@dave:v')).toBe('data:success\n@dave@')
    for (let id = 0; id < 16; id++) {
      expect(await send(`id:${id}:@carol:x${id}.wavi@bob:v`)).toBe(success)
      server.clock.advance(100)
    }
    expect(await send('id:new:@carol:x.wavi@bob:v')).toMatch(/^error:AT0028-/)
    server.clock.advance(10_000)
    await until(async () => (await send('id:new:@carol:x.wavi@bob:v')) === success)
    const owner = await asOwner(server)
    const listed = await owner.ask('notify:list')
    const ids = [...listed.matchAll(/"id":"([^"]+)"/g)].map(([, id]) => id)
    expect(ids).not.toContain('1')
    expect(ids).toEqual(expect.arrayContaining(['0', '15', 'new']))
    expect(listed).toContain('x.wavi@dave')
    expect(listed).not.toContain('x0.wavi@bob')
  })

  test('is bounded in copies: new ones are refused, those that are there change', async () => {
    const { send, sendAsDave } = await crowded({ notifications: plenty, copies: { ...plenty, count: 2 } })
    for (const name of ['a', 'b']) expect(await send(`ttr:-1:@carol:${name}.wavi@bob:v`)).toBe(success)
    expect(await send('ttr:-1:@carol:c.wavi@bob:v')).toMatch(/^error:AT0028-.*2 copies of @bob/)
    expect(await send('ttr:-1:@carol:a.wavi@bob:new')).toBe(success)
    expect(await sendAsDave('ttr:-1:@carol:c.wavi@dave:v')).toBe('data:success\n@dave@')
  })

  test('is bounded in bytes', async () => {
    const { send } = await crowded({ notifications: plenty, copies: plenty })
    expect(await send(`@carol:x.wavi@bob:${'v'.repeat(100_000)}`)).toBe(success)
    expect(await send('@carol:x.wavi@bob:v')).toMatch(/^error:AT0028-/)
  })
})

test('other content or another recipient under one id is sent as well, as base Python does (page 04, section 4)', async () => {
  const theirs = await asOwner(bob)
  theirs.write('monitor:strict\n')
  for (const line of ['@nobody:x.wavi@alice:1', '@bob:x.wavi@alice:1', '@bob:x.wavi@alice:2', '@bob:y.wavi@alice:2']) {
    alice.clock.advance(1)
    expect(await owner.ask(`notify:id:reused:${line}`)).toBe('data:reused\n@alice@')
  }
  const arrived = [await shown(theirs), await shown(theirs), await shown(theirs)].map(
    ({ key, value }) => `${key} ${value}`,
  )
  expect(arrived.sort()).toEqual(['@bob:x.wavi@alice 1', '@bob:x.wavi@alice 2', '@bob:y.wavi@alice 2'])
  expect(await owner.ask('notify:fetch:reused')).toContain('"notification":"@bob:y.wavi@alice"')
  expect(await owner.ask('notify:remove:reused')).toBe('data:success\n@alice@')
  expect(await owner.ask('notify:fetch:reused')).toContain('"atValue":"2"')
})

test('nobody else may notify', async () => {
  const client = await raw(alice)
  expect(await client.ask('notify:@alice:x.y@bob:v')).toMatch(/^error:AT0401-/)
  await client.ask('from:@bob')
  expect(await client.ask('notify:@alice:x.y@bob:v')).toMatch(/^error:AT0401-/)
})

describe('a line that is refused stores nothing', () => {
  test.each([
    ['notify', 'AT0003'],
    ['notify:', 'AT0003'],
    ['notify:@bob', 'AT0003'],
    ['notify:@bob:', 'AT0003'],
    ['notify:@bob:phone.wavi@alice:', 'AT0003'],
    ['notify:public:phone@alice:v', 'AT0003'],
    ['notify:append:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:update:delete:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:bogus:1:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:messageType:mail:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:priority:urgent:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:strategy:latest:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:latestN:0:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:ttl:-1:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:ttr:-2:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:ttln:60000:eAtn:2026-10-04T10:50:00.000Z:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:eAtn:tomorrow:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:eph:true:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:eph:ttr:60000:@bob:phone.wavi@alice:v', 'AT0003'],
    ['notify:delete:eph:@bob:phone.wavi@alice', 'AT0003'],
    [`notify:id:${'a'.repeat(65)}:@bob:phone.wavi@alice:v`, 'AT0003'],
    ['notify:@bob:phone.wavi@alice:a\rb', 'AT0003'],
    ['notify:messageType:text:@bob:a\u2028b', 'AT0003'],
    ['notify:@bob:public:phone@alice:v', 'AT0016'],
    ['notify:@bob:a,b@alice:v', 'AT0016'],
    [`notify:@bob:${'a'.repeat(240)}@alice:v`, 'AT0016'],
    ['notify:@b!b:phone.wavi@alice:v', 'AT0011'],
  ])('%s: %s', async (line, code) => {
    const before = await owner.ask('stats:11')
    expect(await owner.ask(line)).toMatch(new RegExp(`^error:${code}-[^\n\r\u2028]*\n@alice@$`))
    expect(await owner.ask('stats:11')).toBe(before)
  })

  test('a key has room for its copy at the recipient (page 07, 4.1)', async () => {
    expect(await owner.ask(`notify:@bob:${'a'.repeat(237)}@alice:v`)).toMatch(idReply)
    expect(await owner.ask(`notify:@bob:${'a'.repeat(238)}@alice:v`)).toBe(
      'error:AT0016-Invalid key : notification key length 256 is greater than 255 chars\n@alice@',
    )
  })
})
