import { beforeAll, describe, expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({
    enrollments: {
      wavi: { namespaces: { wavi: 'r' } },
      deep: { namespaces: { 'contacts.wavi': 'rw' } },
      root: { namespaces: { '*': 'rw', __manage: 'rw' } },
      none: {},
    },
  })
  owner = await asOwner(alice)
})

interface Entry {
  readonly atKey: string
  readonly value: string | null
  readonly metadata: Record<string, string> | null
  readonly commitId: number
  readonly operation: string
}
async function page(line: string, client: Client = owner): Promise<Entry[]> {
  const reply = await client.ask(line)
  expect(reply).toMatch(/^data:\[.*\]\n@alice@$/)
  return JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))
}
const keysOf = async (line: string, client?: Client): Promise<string[]> =>
  (await page(line, client)).map(({ atKey }) => atKey)

/** Writes a key and answers its commit id. */
async function written(line: string): Promise<number> {
  return Number(/^data:(\d+)\n/.exec(await owner.ask(line))?.[1])
}

describe('the form of an entry', () => {
  test('is that of the reference, byte for byte (page 04, E2)', async () => {
    const id = await written('update:ttl:600000:public:phone.form@alice 123')
    expect(await owner.ask(`sync:from:${id - 1}:limit:10`)).toBe(
      'data:[{"atKey":"public:phone.form@alice","value":"123","metadata":{"createdBy":"@alice","updatedBy":"@alice",' +
        '"createdAt":"2026-01-31 10:00:00.000Z","updatedAt":"2026-01-31 10:00:00.000Z",' +
        '"expiresAt":"2026-01-31 10:10:00.000Z","status":"active","version":"0","ttl":"600000","isBinary":"false",' +
        `"isEncrypted":"false"},"commitId":${id},"operation":"*"}]\n@alice@`,
    )
  })

  test('a deleted key has neither value nor metadata (page 07, section 10)', async () => {
    const id = await written('delete:tomb.form@alice')
    expect(await owner.ask(`sync:from:${id - 1}:limit:50:tomb`)).toBe(
      `data:[{"atKey":"tomb.form@alice","value":null,"metadata":null,"commitId":${id},"operation":"-"}]\n@alice@`,
    )
  })

  test('every metadata value is text, objects too (page 07, section 10)', async () => {
    const app = Buffer.from('{"k":{"n":1}}').toString('base64')
    await owner.ask(
      `update:ttr:-1:ccd:true:pubKeyHash:h:hashingAlgo:sha512:immutable:true:appMetadata:${app}:@bob:meta.form@alice v`,
    )
    const [entry] = await page('sync:from:0:limit:10:^@bob:meta')
    expect(Object.values(entry?.metadata ?? {}).every((value) => typeof value === 'string')).toBe(true)
    expect(entry?.metadata).toMatchObject({
      ...{ ttr: '-1', ccd: 'true', immutable: 'true', appMetadata: app, version: '0', status: 'active' },
      pubKeyHash: '{"hash":"h","hashingAlgo":"sha512"}',
    })
  })

  test('a metadata change shows the present value', async () => {
    await owner.ask('update:value.form@alice here')
    const id = await written('update:meta:value.form@alice:ttl:60000')
    expect(await page(`sync:from:${id - 1}`)).toEqual([
      expect.objectContaining({ atKey: 'value.form@alice', value: 'here', operation: '#' }),
    ])
  })

  test('what is not born yet is shown all the same (page 07, section 7)', async () => {
    await owner.ask('update:ttb:60000:unborn.form@alice v')
    expect((await page('sync:from:1:limit:10:^unborn'))[0]).toMatchObject({ atKey: 'unborn.form@alice', value: 'v' })
  })
})

describe('a page', () => {
  test('holds a hundred entries unless told, and the client gets on from each', async () => {
    const first = await written('update:p0.page@alice v')
    for (let index = 1; index < 130; index++) await owner.ask(`update:p${index}.page@alice v`)
    const seen: number[] = []
    for (let after = first - 1; ; ) {
      const entries = await page(`sync:from:${after}`)
      seen.push(entries.length)
      if (entries.length === 0) break
      after = entries.at(-1)?.commitId ?? after
    }
    expect(seen).toEqual([100, 30, 0])
    expect(await page(`sync:from:${first - 1}:limit:0`)).toHaveLength(100)
    expect(await page(`sync:from:${first - 1}:limit:7`)).toHaveLength(7)
    expect(await page(`sync:from:${first - 1}:LIMIT:120`)).toHaveLength(120)
  })

  test('is cut after the filters, so that nobody is stuck behind what is not for them', async () => {
    const wavi = await asEnrolled(alice, 'wavi')
    await owner.ask('update:last.wavi@alice v')
    expect(await keysOf('sync:from:-1:limit:1:wavi', wavi)).toEqual(['public:signing_publickey@alice'])
    expect((await keysOf('sync:from:0:limit:1:last', wavi)).at(-1)).toBe('last.wavi@alice')
  })

  test('ends before it grows too large, and its first entry always goes out', async () => {
    const large = await startServer()
    const client = await asOwner(large)
    for (const name of ['a', 'b', 'c']) await client.ask(`update:${name}.large@alice ${'x'.repeat(3_000_000)}`)
    await client.ask(`update:huge.large@alice ${'x'.repeat(6_000_000)}`)
    await client.ask('update:small.large@alice v')
    expect(await keysOf('sync:from:0', client)).toEqual(['a.large@alice'])
    expect(await keysOf('sync:from:2', client)).toEqual(['c.large@alice'])
    expect(await keysOf('sync:from:3', client)).toEqual(['huge.large@alice'])
    expect(await keysOf('sync:from:4', client)).toEqual(['small.large@alice'])
  })

  test('is empty behind the newest entry', async () => {
    expect(await owner.ask('sync:from:999999')).toBe('data:[]\n@alice@')
  })
})

describe('who gets what', () => {
  beforeAll(async () => {
    for (const key of [
      'mine.wavi',
      'friend.contacts.wavi',
      'other.buzz',
      'nospace',
      '@bob:shared_key',
      'secret.__manage',
    ]) {
      await owner.ask(`update:${key}@alice v`)
    }
    await owner.ask('update:public:open.buzz@alice v')
  })
  const filter = '(mine|friend|other|nospace|secret|open)'

  test.each([
    ['wavi', ['@bob:shared_key@alice', 'friend.contacts.wavi@alice', 'mine.wavi@alice', 'public:open.buzz@alice']],
    ['deep', ['@bob:shared_key@alice', 'friend.contacts.wavi@alice', 'public:open.buzz@alice']],
    ['none', ['@bob:shared_key@alice', 'public:open.buzz@alice']],
    [
      'root',
      [
        ...[
          '@bob:shared_key@alice',
          'friend.contacts.wavi@alice',
          'mine.wavi@alice',
          'nospace@alice',
          'other.buzz@alice',
        ],
        'public:open.buzz@alice',
      ],
    ],
  ])('%s gets what it may read', async (id, keys) => {
    const found = await keysOf(`sync:from:0:limit:500:${filter}`, await asEnrolled(alice, id))
    expect(found.sort()).toEqual(keys)
  })

  test('what lies in __manage goes to nobody, and stats:3 counts what sync shows', async () => {
    expect(await keysOf('sync:from:-1:limit:500:__manage')).not.toContain('secret.__manage@alice')
    const wavi = await asEnrolled(alice, 'wavi')
    const newest = (await page('sync:from:-1:limit:500', wavi)).at(-1)?.commitId
    expect(await wavi.ask('stats:3')).toBe(`data: [{"id":"3","name":"lastCommitID","value":"${newest}"}]\n@alice@`)
  })
})

describe('skipDeletesUntil', () => {
  test('leaves out older deletes, yet never the newest entry (page 04, section 2)', async () => {
    const server = await startServer()
    const client = await asOwner(server)
    for (const line of ['delete:d1.x@alice', 'update:u2.x@alice v', 'delete:d3.x@alice', 'delete:d4.x@alice']) {
      await client.ask(line)
    }
    expect(await keysOf('sync:from:0:skipDeletesUntil:1', client)).toEqual(['u2.x@alice', 'd3.x@alice', 'd4.x@alice'])
    expect(await keysOf('sync:from:0:limit:10:skipDeletesUntil:40', client)).toEqual(['u2.x@alice', 'd4.x@alice'])
    expect(await keysOf('sync:from:0:skipDeletesUntil:40:limit:10:u2', client)).toEqual(['u2.x@alice'])
    await client.ask('update:u5.x@alice v')
    expect(await keysOf('sync:from:0:skipDeletesUntil:40', client)).toEqual(['u2.x@alice', 'u5.x@alice'])
  })
})

test('a key that left the log is not shown (page 07, E7)', async () => {
  const id = await written('update:nc1.gone@alice v1')
  await owner.ask('update:nc:nc1.gone@alice v2')
  expect(await owner.ask(`sync:from:${id - 1}:limit:50:nc1`)).toBe('data:[]\n@alice@')
})

test('a regex may hold colons, and is searched in the whole key', async () => {
  await owner.ask('update:@bob:colon.regex@alice v')
  expect(await keysOf('sync:from:0:limit:500:^@bob:colon')).toEqual(expect.arrayContaining(['@bob:colon.regex@alice']))
})

test.each([
  ['sync:13', 'error:AT0003-Invalid syntax : invalid command\n@alice@'],
  ['sync', 'error:AT0003-Invalid syntax : invalid command\n@alice@'],
])('%s is the form of the white paper, which no server serves (page 04, E5)', async (line, reply) => {
  expect(await owner.ask(line)).toBe(reply)
})

test.each([
  'sync:from',
  'sync:from:',
  'sync:from:x',
  'sync:from:-2',
  'sync:from:1:limit:x',
  'sync:from:1:limit:1:limit:2',
  'sync:from:1:',
  'sync:from:1:[',
  'sync:from:1:skipDeletesUntil:-1',
])('%s is a syntax error, and the connection stays open', async (line) => {
  expect(await owner.ask(line)).toMatch(/^error:AT0003-[^\n]*\n@alice@$/)
})
