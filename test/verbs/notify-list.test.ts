import { beforeAll, describe, expect, test } from 'vitest'
import { notifyList } from '../../src/verbs/notify-list.ts'
import { asEnrolled, asOwner, type Client, provenPair, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
let peer: Client
beforeAll(async () => {
  ;({ alice, owner, peer } = await provenPair({ app: { namespaces: { wavi: 'r' } }, none: {} }))
  await peer.ask('notify:id:first:@alice:phone.wavi@bob:1')
  await owner.ask('notify:id:own:@alice:note.buzz@alice:2')
  await owner.ask('notify:id:gone:@bob:sent.wavi@alice:3')
  await owner.ask('notify:id:to-carol:@carol:sent.wavi@alice:3')
  alice.clock.advance(60_000)
  await peer.ask('notify:id:text:messageType:text:@alice:Hello there')
  await peer.ask('notify:id:short:ttln:1000:@alice:phone.wavi@bob:4')
  await peer.ask('notify:id:eph:eph:@alice:phone.wavi@bob:5')
  alice.clock.advance(2_000)
})

async function idsOf(line: string, client: Client = owner): Promise<string[]> {
  const reply = await client.ask(line)
  expect(reply).toMatch(/^data:\[.*\]\n@(alice|bob)@$/)
  return (JSON.parse(reply.slice('data:'.length, reply.indexOf('\n'))) as { id: string }[]).map(({ id }) => id)
}

test('shows what arrived and lives, by time, those in memory included (page 07, 17.2)', async () => {
  expect(await idsOf('notify:list')).toEqual(['first', 'own', 'text', 'eph'])
})

test('an element is what a monitor line shows (page 07, 17.3)', async () => {
  expect(await owner.ask('notify:list:note')).toBe(
    'data:[{"id":"own","from":"@alice","to":"@alice","key":"@alice:note.buzz@alice","value":"2","operation":"update",' +
      '"epochMillis":1769853600000,"messageType":"MessageType.key","isEncrypted":true,"metadata":{"ttr":null,"ttl":null,' +
      '"ttb":null,"sharedKeyEnc":null,"pubKeyCS":null,"dataSignature":null,"encKeyName":null,"encAlgo":null,' +
      '"ivNonce":null,"skeEncKeyName":null,"skeEncAlgo":null,"availableAt":"null","expiresAt":"2026-01-31 10:15:00.000Z",' +
      '"pubKeyHash":null,"appMetadata":null}}]\n@alice@',
  )
})

describe('filters (page 04, section 8)', () => {
  test.each([
    ['notify:list:phone', ['first', 'eph']],
    ['notify:list:zzz', []],
    ['notify:list:^@alice:phone', ['first', 'eph']],
    ['notify:list:^bob$', ['first', 'text', 'eph']],
    ['notify:list .wavi', ['first', 'eph']],
    ['notify:list:2026-01-31', ['first', 'own', 'text', 'eph']],
    ['notify:list:2026-02-01', []],
    ['notify:list:2026-1-30:2026-01-31:note', ['own']],
    ['notify:list:2026-01-01:2026-01-30', []],
  ])('%s', async (line, ids) => {
    expect(await idsOf(line)).toEqual(ids)
  })

  test.each([
    ['notify:list:2024-02-01:2024-01-01', 'ToDate cannot be less than FromDate'],
    ['notify:list:2024-02-30', 'Invalid date format'],
    ['notify:list:2024-13-01:2024-01-01', 'Invalid date format'],
  ])('%s is AT0022', async (line, reason) => {
    expect(await owner.ask(line)).toBe(`error:AT0022-Illegal arguments : ${reason}\n@alice@`)
  })

  test('a regex that cannot be used is AT0003', async () => {
    expect(await owner.ask('notify:list:[')).toMatch(/^error:AT0003-/)
  })
})

test('an enrollment sees what it may read, and no texts, which have no namespace', async () => {
  expect(await idsOf('notify:list', await asEnrolled(alice, 'app'))).toEqual(['first', 'eph'])
  expect(await idsOf('notify:list', await asEnrolled(alice, 'none'))).toEqual([])
})

test('a peer sees what was sent to it and nothing else', async () => {
  expect(await idsOf('notify:list', peer)).toEqual(['gone'])
  expect(await (await raw(alice)).ask('notify:list')).toMatch(/^error:AT0401-/)
})

test('a list ends before it grows too large for its readers, and the rest is found by date', async () => {
  const server = await startServer()
  const client = await asOwner(server)
  for (const id of ['a', 'b', 'c']) await client.ask(`notify:id:${id}:@alice:large.wavi@alice:${'x'.repeat(3_000_000)}`)
  expect(await idsOf('notify:list', client)).toEqual(['a'])
})

test.each([' 2026-01-31', ' 2026-01-31:x', ':2026-01-31 2026-02-01', ':2026-01-31:2026-02-01:x'])(
  '%j is written as it is read',
  (rest) => {
    expect(notifyList.grammar.format(notifyList.grammar.parse(rest))).toBe(rest)
  },
)
