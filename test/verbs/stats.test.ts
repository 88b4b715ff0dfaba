import { beforeAll, describe, expect, test } from 'vitest'
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
} from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  ;({ alice, owner } = await provenPair())
  const claiming = await raw(alice)
  await claiming.ask('from:@carol')
  await owner.ask('update:public:city.wavi@alice Paris')
  await owner.ask('update:phone.buzz@alice 1')
  await owner.ask('delete:phone.buzz@alice')
  await owner.ask('update:public:_hidden@alice 1')
  await owner.ask('notify:@alice:x.y@alice:v')
})

interface Element {
  readonly id: string
  readonly name: string
  readonly value: unknown
}
async function elements(line: string): Promise<Element[]> {
  const reply = await owner.ask(line)
  expect(reply).toMatch(/^data: \[\{.*\}\]\n@alice@$/)
  return JSON.parse(reply.slice('data: '.length, reply.indexOf('\n')))
}

test('stats:3 is the last commit id, byte for byte as clients search for it (page 07, E29)', async () => {
  expect(await owner.ask('stats:3')).toBe('data: [{"id":"3","name":"lastCommitID","value":"3"}]\n@alice@')
})

test('elements are joined by a comma and a blank (page 04, section 3)', async () => {
  expect(await owner.ask('stats:3,7')).toBe(
    'data: [{"id":"3","name":"lastCommitID","value":"3"}, {"id":"7","name":"secondaryServerVersion","value":"1.2.3"}]\n@alice@',
  )
})

test('without ids come all seventeen, in order (page 07, section 11)', async () => {
  const all = await elements('stats')
  expect(all.map(({ id, name }) => `${id} ${name}`)).toEqual([
    ...['1 activeInboundConnections', '2 activeOutboundConnections', '3 lastCommitID', '4 secondaryStorageSize'],
    ...['5 topAtSigns', '6 topKeys', '7 secondaryServerVersion', '8 LastLoggedInDatetime', '9 diskSize', '10 LastPkam'],
    ...['11 NotificationCount', '12 CommitLogCompactionStats', '13 AccessLogCompactionStats'],
    ...['14 NotificationCompactionStats', '15 LatestCommitEntryOfEachKey', '16 activeInboundConnectionsSummary'],
    '17 activeInboundConnectionsDetailed',
  ])
})

test('what the pages do not know comes when it is asked for by its number', async () => {
  const [damage, wear] = await elements('stats:18,19')
  expect(damage).toMatchObject({ name: 'damage', value: { state: 'sound', found: 0 } })
  expect(wear).toMatchObject({ id: '19', name: 'wear' })
  const value = wear?.value as Record<string, unknown>
  expect(value['totalBytes']).toEqual(expect.any(Number))
  expect(value['enduranceBytes']).toBeGreaterThan(0)
})

test('value types are those of the reference (page 07, section 11)', async () => {
  const values = Object.fromEntries((await elements('stats')).map(({ id, value }) => [id, value]))
  expect(values['1']).toBe('3')
  expect(values['2']).toMatch(/^\d+$/)
  expect(values['4']).toBeTypeOf('number')
  expect(JSON.parse(String(values['9']))).toEqual({ size: expect.stringMatching(/^\d+\.\d\d$/), units: 'KB' })
  expect(JSON.parse(String(values['11']))).toEqual({
    ...{ total: 1, type: { sent: 0, received: 1 }, status: { delivered: 1, failed: 0, queued: 0 } },
    ...{ operations: { update: 1, delete: 0 }, messageType: { key: 1, text: 0 }, createdOn: alice.clock.now() },
  })
  expect([values['12'], values['13'], values['14']]).toEqual(['{}', '{}', '{}'])
  expect(values['15']).toBe(
    '{"public:signing_publickey@alice":[0,"*"],"public:city.wavi@alice":[1,"*"],"phone.buzz@alice":[3,"-"]}',
  )
  expect(values['16']).toEqual({ total: 3, self: 1, other: 1, anon: 1 })
  const time = '2026-01-31T10:00:00.000Z'
  const one = (from: string) => ({ count: 1, list: [{ from, created: time, lastAccessed: time }] })
  expect(values['17']).toEqual({ total: 3, self: one('@alice'), other: one('@bob'), anon: one('@carol') })
})

describe('a pattern', () => {
  test.each([
    ['stats:3:.*', '3'],
    // Dot-free public keys count whatever the pattern says (page 04, section 2).
    ['stats:3:city', '1'],
    ['stats:3:nothing', '0'],
    ['stats:3:^phone:?', '3'],
  ])('%s: %s', async (line, value) => {
    expect(await elements(line)).toEqual([{ id: '3', name: 'lastCommitID', value }])
  })

  test('narrows stats:15 down', async () => {
    expect((await elements('stats:15:wavi'))[0]?.value).toBe('{"public:city.wavi@alice":[1,"*"]}')
  })

  test.each(['stats:1:x', 'stats:3,15:x', 'stats:3:['])('%s is refused', async (line) => {
    expect(await owner.ask(line)).toMatch(/^error:AT0003-.*\n@alice@$/)
  })
})

describe('visits (page 01, 9.10)', () => {
  let server: TestServer
  let client: Client
  const value = async (id: number): Promise<unknown> => {
    const reply = await client.ask(`stats:${id}`)
    return JSON.parse(reply.slice('data: '.length, reply.indexOf('\n')))[0].value
  }
  beforeAll(async () => {
    server = await startServer({ enrollments: { app: {} } })
    const bob = await startServer({ atSign: '@bob' })
    connectServers(server, bob)
    client = await asOwner(server)
    expect(await value(5)).toBe('{}')
    const peer = await asPeer(server, bob)
    for (const name of ['a.wavi', 'b.wavi', 'c.wavi', 'd.wavi', 'e.wavi', 'f.wavi']) {
      await client.ask(`update:nc:@bob:${name}@alice v`)
      for (let count = name.charCodeAt(0); count > 96; count--) await peer.ask(`lookup:${name}@alice`)
    }
    await client.ask('update:@bob:_hidden.wavi@alice v')
    for (let count = 0; count < 9; count++) await peer.ask('lookup:_hidden.wavi@alice')
    for (let count = 0; count < 9; count++) await peer.ask('lookup:missing.wavi@alice')
  })

  test('stats:5 counts who proved itself', async () => {
    expect(Object.keys(JSON.parse(String(await value(5))))).toEqual(['@bob'])
  })

  test('stats:6 shows the five keys that were served most, hidden and missing ones left out', async () => {
    expect(await value(6)).toBe(
      '{"f.wavi@alice":6,"e.wavi@alice":5,"d.wavi@alice":4,"c.wavi@alice":3,"b.wavi@alice":2}',
    )
  })

  test('stats:8 and stats:10 tell when somebody came, and when somebody logged in by pkam', async () => {
    expect(await value(10)).toBe('Not Available')
    server.clock.advance(1_000)
    await asEnrolled(server, 'app')
    expect(await value(10)).toBe('2026-01-31 10:00:01.000Z')
    server.clock.advance(1_000)
    await (await raw(server)).ask('from:@alice')
    expect(await value(8)).toBe('2026-01-31 10:00:02.000Z')
    expect(await value(10)).toBe('2026-01-31 10:00:01.000Z')
  })
})

test('an enrollment is told of what it may read', async () => {
  const server = await startServer({ enrollments: { app: { namespaces: { wavi: 'r' } } } })
  const full = await asOwner(server)
  for (const key of ['x.wavi', 'y.buzz']) await full.ask(`update:${key}@alice v`)
  const app = await asEnrolled(server, 'app')
  expect(await app.ask('stats:3')).toBe('data: [{"id":"3","name":"lastCommitID","value":"1"}]\n@alice@')
  expect(await app.ask('stats:15')).toBe(
    'data: [{"id":"15","name":"LatestCommitEntryOfEachKey","value":"{\\"public:signing_publickey@alice\\":[0,\\"*\\"],' +
      '\\"x.wavi@alice\\":[1,\\"*\\"]}"}]\n@alice@',
  )
})

test('an id may be named twice and in any order', async () => {
  expect((await elements('stats:7,1,7')).map(({ id }) => id)).toEqual(['7', '1'])
})

test.each([
  ['stats:99', 'error:AT0003-Invalid syntax : No metric with ID 99\n@alice@'],
  ['stats:3,99', 'error:AT0003-Invalid syntax : No metric with ID 99\n@alice@'],
])('%s names the id that is unknown (page 07, E31)', async (line, reply) => {
  expect(await owner.ask(line)).toBe(reply)
})

test.each(['stats:', 'stats:-1', 'stats:0', 'stats:x', 'stats:1,', 'stats 3', 'stats:99999', 'stats:constructor'])(
  '%s is a syntax error',
  async (line) => {
    expect(await owner.ask(line)).toMatch(/^error:AT0003-/)
  },
)

test('nobody but the owner may ask', async () => {
  expect(await (await raw(alice)).ask('stats')).toMatch(/^error:AT0401-/)
})
