import { beforeAll, describe, expect, test } from 'vitest'
import { asEnrolled, asOwner, asPrimary, type Client, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({
    enrollments: { app: { namespaces: { wavi: 'rw' } }, reader: { namespaces: { wavi: 'r' } } },
  })
  owner = await asOwner(alice)
})

const prompt = '\n@alice@'
const all = async (key: string): Promise<{ key: string; data?: string; metaData: Record<string, unknown> }> => {
  const reply = await owner.ask(`llookup:all:${key}`)
  return JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))
}
const meta = async (key: string): Promise<Record<string, unknown>> => (await all(key)).metaData
const commitOf = async (line: string): Promise<number> => {
  const reply = await owner.ask(line)
  expect(reply).toMatch(/^data:-?\d+\n@alice@$/)
  return Number.parseInt(reply.slice('data:'.length), 10)
}
const syntax = (detail: string): string => `error:AT0003-Invalid syntax : Invalid syntax in ${detail}`
/** In the words of released servers, to which nothing is added. */
const settled = (words: string): string => `error:AT0003-Invalid syntax : ${words}`

describe('a value', () => {
  test.each([
    ['public:location@alice California', 'public:location@alice', 'California'],
    ['@bob:phone.wavi@alice +1 555 0100', '@bob:phone.wavi@alice', '+1 555 0100'],
    ['@alice:offer@alice 50  percent: yes', '@alice:offer@alice', '50  percent: yes'],
    ['plain.wavi@alice  two blanks in front', 'plain.wavi@alice', ' two blanks in front'],
    ['trimmed.wavi@alice abc \t \r', 'trimmed.wavi@alice', 'abc'],
    ['emoji.wavi@alice 🦄 été', 'emoji.wavi@alice', '🦄 été'],
    ['marker.wavi@alice one~NL~two', 'marker.wavi@alice', 'one~NL~two'],
    ['fake.wavi@alice data:success', 'fake.wavi@alice', 'data:success'],
    ['x@alice one letter is a name', 'x@alice', 'one letter is a name'],
    ['metadata@alice v', 'metadata@alice', 'v'],
    ['nc@alice v', 'nc@alice', 'v'],
    ['json@alice {"a":1}', 'json@alice', '{"a":1}'],
    ['PUBLIC:Mixed.Wavi@Al.ice CaSe', 'public:mixed.wavi@alice', 'CaSe'],
    ['public:ひらがな@alice v', 'public:ひらがな@alice', 'v'],
    ['@🦄:unicorn.wavi@alice v', '@🦄:unicorn.wavi@alice', 'v'],
    ['public:__hidden@alice v', 'public:__hidden@alice', 'v'],
  ])('update:%s', async (text, key, value) => {
    expect(await commitOf(`update:${text}`)).toBeGreaterThanOrEqual(0)
    expect(await owner.ask(`llookup:${key}`)).toBe(`data:${value}${prompt}`)
    expect((await all(key)).key).toBe(key)
  })

  test('of ten megabytes comes back whole', async () => {
    const value = 'x'.repeat(10_200_000)
    await commitOf(`update:large.wavi@alice ${value}`)
    expect(await owner.ask('llookup:large.wavi@alice')).toBe(`data:${value}${prompt}`)
    await owner.ask('delete:large.wavi@alice')
  })

  test.each([
    ['a carriage return', 'a\rb'],
    ['a next line', 'a\u0085b'],
    ['a line separator', 'a\u2028b'],
    ['a paragraph separator', 'a\u2029b'],
  ])(
    'with %s inside would end a line for some client and is refused (page 03, section 4; page 05, 2.2)',
    async (_, value) => {
      expect(await owner.ask(`update:broken.wavi@alice ${value}`)).toMatch(/^error:AT0003-.*\n@alice@$/)
      expect(await owner.ask('llookup:broken.wavi@alice')).toMatch(/^error:AT0015-/)
    },
  )
})

describe('the commit id', () => {
  test('grows by one for each committed write', async () => {
    const first = await commitOf('update:commit.wavi@alice 1')
    expect(await commitOf('update:commit.wavi@alice 2')).toBe(first + 1)
    expect(await commitOf('update:public:__commit@alice 3')).toBe(first + 2)
  })

  test('is -1 for a public name with one underscore (page 03, section 14)', async () => {
    const before = await owner.ask('stats:3')
    expect(await commitOf('update:public:_hidden@alice x')).toBe(-1)
    expect(await owner.ask('stats:3')).toBe(before)
    expect(await owner.ask('llookup:public:_hidden@alice')).toBe(`data:x${prompt}`)
  })

  test('is -1 with nc, and the key leaves the log until its next write (page 07, 4.4)', async () => {
    const first = await commitOf('update:nc1.wavi@alice v1')
    expect(await commitOf('update:nc:nc1.wavi@alice v2')).toBe(-1)
    expect(await owner.ask('scan:cl nc1')).toBe(`data:[]${prompt}`)
    expect(await owner.ask('llookup:nc1.wavi@alice')).toBe(`data:v2${prompt}`)
    expect(await commitOf('update:nc1.wavi@alice v3')).toBe(first + 1)
  })
})

describe('metadata', () => {
  test('is shown in the order of the reference, unset members left out (page 03, 2.1)', async () => {
    await commitOf('update:ttl:60000:ttr:-1:ccd:true:isEncrypted:true:ivNonce:Zm9v:@bob:pin.wavi@alice Y2lwaGVy')
    expect(await owner.ask('llookup:meta:@bob:pin.wavi@alice')).toBe(
      'data:{"createdBy":"@alice","updatedBy":"@alice","createdAt":"2026-01-31 10:00:00.000Z",' +
        '"updatedAt":"2026-01-31 10:00:00.000Z","expiresAt":"2026-01-31 10:01:00.000Z","status":"active","version":0,' +
        `"ttl":60000,"ttr":-1,"ccd":true,"isBinary":false,"isEncrypted":true,"ivNonce":"Zm9v"}${prompt}`,
    )
  })

  test('is read in any order and letter case (page 05, 2.3)', async () => {
    await commitOf(
      'update:sharedKeyEnc:a:PUBKEYCS:b:isBinary:False:isEncrypted:TRUE:dataSignature:c=:TTL:5:order.wavi@alice v',
    )
    expect(await meta('order.wavi@alice')).toMatchObject({
      ...{ sharedKeyEnc: 'a', pubKeyCS: 'b', isBinary: false, isEncrypted: true, dataSignature: 'c=', ttl: 5 },
    })
  })

  test.each(['pubKeyHash:h:hashingAlgo:sha512', 'hash:h:algo:sha512', 'pubKeyHash:h:pubKeyAlgo:sha512'])(
    '%s is one member (page 03, 2.1)',
    async (tags) => {
      await commitOf(`update:${tags}:hash.wavi@alice v`)
      expect((await meta('hash.wavi@alice'))['pubKeyHash']).toEqual({ hash: 'h', hashingAlgo: 'sha512' })
    },
  )

  test('asserted times are kept to the millisecond (page 07, E1 and E3)', async () => {
    await commitOf('update:cAt:2020-01-02T03:04:05.678000Z:uAt:2021-02-03T04:05:06.789999Z:ts1.wavi@alice hello')
    expect(await meta('ts1.wavi@alice')).toMatchObject({
      createdAt: '2020-01-02 03:04:05.678Z',
      updatedAt: '2021-02-03 04:05:06.789Z',
    })
    await commitOf('update:uAt:2021-02-03T04:05:06.789000Z:eAt:2030-01-01T00:00:00.000000Z:ts5.wavi@alice hello')
    expect(await meta('ts5.wavi@alice')).toMatchObject({ ttl: 281130893211, expiresAt: '2030-01-01 00:00:00.000Z' })
    expect(await owner.ask('scan:cl ts5')).toContain('"opTime":"2021-02-03T04:05:06.789000Z"')
  })

  test('not mentioned stays, and no clock moves (page 07, section 5)', async () => {
    await commitOf('update:ttl:86400000:isBinary:true:encoding:base64:ts6.wavi@alice v1')
    const before = await meta('ts6.wavi@alice')
    alice.clock.advance(5000)
    await commitOf('update:ts6.wavi@alice v2')
    const after = await meta('ts6.wavi@alice')
    expect(after['expiresAt']).toBe(before['expiresAt'])
    expect(after).toMatchObject({ isBinary: true, ttl: 86400000, version: 1, createdAt: before['createdAt'] })
    expect(after['updatedAt']).not.toBe(before['updatedAt'])
  })

  test('appMetadata is an object in the reply (page 07, E16)', async () => {
    const document = { providerId: 'acme_provider', keyId: 'k-123', mode: 'hpke' }
    const base64 = Buffer.from(JSON.stringify(document)).toString('base64')
    await commitOf(`update:appMetadata:${base64}:appmeta@alice some-value`)
    expect((await meta('appmeta@alice'))['appMetadata']).toEqual(document)
  })
})

describe('a record that expires or is not born yet', () => {
  test('is absent for a new write once it has expired (page 07, 4.2)', async () => {
    await commitOf('update:ttl:1000:isBinary:true:fleeting.wavi@alice v1')
    alice.clock.advance(1001)
    await commitOf('update:fleeting.wavi@alice v2')
    const fresh = await meta('fleeting.wavi@alice')
    expect(fresh).toMatchObject({ version: 0, isBinary: false })
    expect(fresh).not.toHaveProperty('ttl')
  })

  test('still exists for a write before its birth', async () => {
    await commitOf('update:ttb:60000:unborn.wavi@alice v1')
    await commitOf('update:ttb:0:unborn.wavi@alice v2')
    expect(await meta('unborn.wavi@alice')).toMatchObject({ version: 1 })
  })
})

describe('an immutable record (page 07, section 6)', () => {
  const refused = `error:AT0032-Illegal state exception : Immutable records may not be updated${prompt}`

  test('takes one write; until it expires, every other is refused', async () => {
    expect(await commitOf('update:ttl:30000:immutable:true:_lock.ns@alice holder1')).toBeGreaterThan(0)
    const json =
      '{"atKey":"_lock.ns@alice","value":"v","metadata":{"isPublic":false,"isBinary":false,"isEncrypted":false}}'
    for (const line of ['update:_lock.ns@alice x', 'update:meta:_lock.ns@alice:ttl:1', `update:json:${json}`]) {
      expect(await owner.ask(line)).toBe(refused)
    }
    expect(await owner.ask('llookup:_lock.ns@alice')).toBe(`data:holder1${prompt}`)
    alice.clock.advance(30001)
    await commitOf('update:_lock.ns@alice holder2')
    expect(await meta('_lock.ns@alice')).not.toHaveProperty('immutable')
  })

  test('is won by one of many that come at once', async () => {
    const rivals = await Promise.all(Array.from({ length: 8 }, () => asEnrolled(alice, 'app')))
    const replies = await Promise.all(rivals.map((rival, i) => rival.ask(`update:immutable:true:race.wavi@alice ${i}`)))
    expect(replies.filter((reply) => reply.startsWith('data:'))).toHaveLength(1)
    expect(replies.filter((reply) => reply === refused)).toHaveLength(7)
  })

  test('refuses before its birth, and other errors win over the refusal', async () => {
    await commitOf('update:ttb:60000:immutable:true:early.wavi@alice v')
    expect(await owner.ask('update:early.wavi@alice v')).toBe(refused)
    const reader = await asEnrolled(alice, 'reader')
    expect(await reader.ask('update:early.wavi@alice v')).toMatch(/^error:AT0009-/)
  })
})

describe('a refused line names what is wrong, stores nothing and keeps the connection', () => {
  const key = (detail: string): string => `error:AT0016-Invalid key : ${detail}`
  test.each([
    ['update', syntax('update: key is missing')],
    ['update:location@alice', syntax('update: value is missing')],
    ['update:location@alice ', syntax('update: value is missing')],
    ['update location@alice v', syntax('update: unexpected " location@alice v"')],
    ['update: v', syntax('update: key is missing')],
    ['update:foo:bar@alice v', syntax('update: unknown parameter "foo"')],
    ['update:priority:low:x@alice v', syntax('update: unknown parameter "priority"')],
    ['update:ttl:1:ttl:2:x@alice v', syntax('update: ttl is given twice')],
    ['update:nc:nc:x@alice v', syntax('update: unknown parameter "nc"')],
    ['update:ttl:-1:x@alice v', settled('Valid value for TTL should be greater than or equal to 0')],
    ['update:ttb:-1:x@alice v', settled('Valid value for TTB should be greater than or equal to 0')],
    ['update:ttr:-2:x@alice v', settled('Valid values for TTR are -1 and greater than or equal to 1')],
    ['update:ttl:99999999999999999999:x@alice v', syntax('update: ttl takes a whole number')],
    ['update:ttl:constructor:x@alice v', syntax('update: ttl takes a whole number')],
    ['update:constructor:1:x@alice v', syntax('update: unknown parameter "constructor"')],
    ['update:__proto__:1:x@alice v', syntax('update: unknown parameter "__proto__"')],
    ['update:eAt:2030-01-01 00:00:00:x@alice v', syntax('update: eAt takes a UTC time')],
    ['update:eAt:2030-02-30T00:00:00Z:x@alice v', syntax('update: eAt takes a UTC time')],
    ['update:isBinary:1:x@alice v', syntax('update: isBinary takes true or false')],
    // `data:` inside an error would be read as a success by Java and Python (page 01, 5.5).
    ['update:appMetadata:%%%:bad@alice v', settled('invalid appMetadata : not standard base64')],
    [
      'update:phone@bob v',
      key('Invalid update command - sharedBy atsign @bob should be same as current atsign @alice'),
    ],
    ['update:location v', key('You may not update keys of type KeyType.invalidKey')],
    ['update:cached:public:x.wavi@bob v', key('You may not update keys of type KeyType.cachedPublicKey')],
    ['update:cached:@alice:x.wavi@bob v', key('You may not update keys of type KeyType.cachedSharedKey')],
    ['update:private:x.wavi@alice v', key('You may not update keys of type KeyType.privateKey')],
    ['update:local:x.wavi@alice v', key('You may not update keys of type KeyType.localKey')],
    ['update:privatekey:at_secret v', key('You may not update keys of type KeyType.privateKey')],
    ['update:privatekey:x@alice v', key('You may not update keys of type KeyType.invalidKey')],
    ['update:public:@kevin:x@alice v', key('unknown prefix "@kevin" in key public:@kevin:x@alice')],
    ['update:public:country,current@alice v', key('characters that a name may not have')],
    [`update:${'a'.repeat(250)}@alice v`, key('key length 256 is greater than max allowed 248 chars')],
  ])('%s', async (line, expected) => {
    const before = await owner.ask('scan:cl')
    const reply = await owner.ask(line)
    expect(reply.slice(0, expected.length)).toBe(expected)
    expect(reply).toMatch(/\n@alice@$/)
    expect(await owner.ask('scan:cl')).toBe(before)
  })

  test('the signing keys are not to be written (page 08, 11.2)', async () => {
    expect(await owner.ask('update:public:signing_publickey@alice x')).toBe(
      `error:AT0009-UnAuthorized client in request : Cannot update protected key: 'public:signing_publickey@alice'${prompt}`,
    )
    expect(await owner.ask('update:@bob:signing_privatekey@alice x')).toMatch(/^error:AT0009-/)
  })

  test('an enrollment is told its id and the key (page 03, section 4)', async () => {
    const app = await asEnrolled(alice, 'app')
    expect(await app.ask('update:phone.wavi@alice 1')).toMatch(/^data:\d+\n/)
    expect(await app.ask('update:@alice:phone.buzz@alice 123')).toBe(
      'error:AT0009-UnAuthorized client in request : Connection with enrollment ID app is not authorized to update ' +
        `key: @alice:phone.buzz@alice${prompt}`,
    )
  })
})

describe('update:json (page 07, 4.3)', () => {
  const flags = { isPublic: false, isBinary: false, isEncrypted: false }
  const json = (document: Record<string, unknown>): string => `update:json:${JSON.stringify(document)}`
  const bad = (reason: string): string => settled(`invalid update:json document: ${reason}`)

  test('the whole key in atKey, as the Dart builder writes it', async () => {
    await commitOf(json({ atKey: '@bob:Json1.wavi@alice', value: 'v 1', metadata: flags }))
    expect(await owner.ask('llookup:@bob:json1.wavi@alice')).toBe(`data:v 1${prompt}`)
  })

  test('the key in its parts, and times (page 07, E4)', async () => {
    await commitOf(
      json({
        ...{ atKey: 'ts3.wavi', value: 'json-value', sharedBy: '@alice' },
        metadata: { ...flags, expiresAt: '2030-01-01 00:00:00.000Z', ttr: null },
      }),
    )
    expect(await meta('ts3.wavi@alice')).toMatchObject({ expiresAt: '2030-01-01 00:00:00.000Z' })
    await commitOf(
      json({
        atKey: { key: 'p', namespace: 'wavi', sharedBy: '@alice' },
        value: 'v',
        metadata: { ...flags, isPublic: true },
      }),
    )
    expect(await owner.ask('llookup:public:p.wavi@alice')).toBe(`data:v${prompt}`)
    await commitOf(json({ atKey: { key: 's', sharedWith: '@bob', sharedBy: '@alice' }, value: 'v', metadata: flags }))
    expect(await owner.ask('llookup:@bob:s@alice')).toBe(`data:v${prompt}`)
  })

  test('with nc there is no commit (page 07, E9)', async () => {
    const line = `update:nc:json:${JSON.stringify({ atKey: 'jnc.wavi', value: 'jv', sharedBy: '@alice', metadata: flags })}`
    expect(await commitOf(line)).toBe(-1)
  })

  test('ttl, ttb and ttr that are absent or null change nothing', async () => {
    await commitOf('update:ttl:60000:ttr:-1:jkeep.wavi@alice v')
    await commitOf(json({ atKey: 'jkeep.wavi@alice', value: 'w', metadata: { ...flags, ttl: null } }))
    expect(await meta('jkeep.wavi@alice')).toMatchObject({ ttl: 60000, ttr: -1 })
  })

  test('a key hash is an object of two texts', async () => {
    const pubKeyHash = { hash: 'abc', hashingAlgo: 'sha256' }
    await commitOf(json({ atKey: 'jhash.wavi@alice', value: 'v', metadata: { ...flags, pubKeyHash } }))
    expect((await meta('jhash.wavi@alice'))['pubKeyHash']).toEqual(pubKeyHash)
  })

  test('a key hash and its algorithm may stand side by side, as at_c writes them (page 03, 2.1)', async () => {
    const metadata = { ...flags, pubKeyHash: 'abc', pubKeyAlgo: 'sha256' }
    await commitOf(json({ atKey: 'flat.wavi@alice', value: 'v', metadata }))
    expect((await meta('flat.wavi@alice'))['pubKeyHash']).toEqual({ hash: 'abc', hashingAlgo: 'sha256' })
  })

  test.each<[string, string, string]>([
    ['not JSON', 'update:json:{"atKey":"x.wavi"', bad('not JSON')],
    ['an array', 'update:json:[]', bad('not a JSON object')],
    ['no metadata', json({ atKey: 'x@alice', value: 'v' }), bad('metadata must be an object')],
    [
      'a missing flag',
      json({ atKey: 'x@alice', value: 'v', metadata: {} }),
      bad('metadata.isPublic must be true or false'),
    ],
    ['no key', json({ value: 'v', metadata: flags }), bad('atKey.key not supplied')],
    [
      'public and shared',
      json({ atKey: 'x', sharedWith: '@bob', sharedBy: '@alice', value: 'v', metadata: { ...flags, isPublic: true } }),
      bad('a key cannot be public and shared with @bob at once'),
    ],
    [
      'a local time',
      json({ atKey: 'x@alice', value: 'v', metadata: { ...flags, expiresAt: '2030-01-01 00:00:00.000' } }),
      bad('expiresAt must be UTC, as the update grammar requires'),
    ],
    [
      'an empty value',
      json({ atKey: 'x@alice', value: '', metadata: flags }),
      settled('invalid value: update:json requires a non-empty, single-line string, as the update grammar does'),
    ],
    ['two lines', json({ atKey: 'x@alice', value: 'a\nb', metadata: flags }), settled('invalid value:')],
    ['a number', json({ atKey: 'x@alice', value: 5, metadata: flags }), settled('invalid value:')],
    [
      'a recipient that is no text',
      json({ atKey: 'x', sharedWith: 5, sharedBy: '@alice', value: 'v', metadata: flags }),
      bad('sharedWith'),
    ],
    [
      'a negative ttl',
      json({ atKey: 'x@alice', value: 'v', metadata: { ...flags, ttl: -1 } }),
      settled('Valid value for TTL'),
    ],
    [
      'a huge ttl',
      json({ atKey: 'x@alice', value: 'v', metadata: { ...flags, ttl: 1e300 } }),
      bad('metadata.ttl takes a whole number'),
    ],
    [
      'appMetadata that is nested 100,000 deep',
      `update:json:{"atKey":"x@alice","value":"v","metadata":{"isPublic":false,"isBinary":false,"isEncrypted":false,"appMetadata":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}}`,
      bad('nested deeper than 34 levels'),
    ],
    [
      'half a key hash',
      json({ atKey: 'x@alice', value: 'v', metadata: { ...flags, pubKeyHash: { hash: 'abc' } } }),
      bad('metadata.pubKeyHash'),
    ],
    [
      'a key hash that would break a line',
      json({ atKey: 'x@alice', value: 'v', metadata: { ...flags, pubKeyHash: { hash: 'a\nb', hashingAlgo: 'x' } } }),
      bad('metadata.pubKeyHash takes text without'),
    ],
    [
      'a foreign owner',
      json({ atKey: 'x', sharedBy: '@bob', value: 'v', metadata: flags }),
      'error:AT0016-Invalid key : Invalid update command - sharedBy atsign @bob should be same as current atsign @alice',
    ],
  ])('%s is refused', async (_, line, expected) => {
    const before = await owner.ask('scan:cl')
    expect((await owner.ask(line)).slice(0, expected.length)).toBe(expected)
    expect(await owner.ask('scan:cl')).toBe(before)
  })

  test('names no key that the text form may not name', async () => {
    const primary = await asPrimary(alice)
    const line = json({ atKey: 'privatekey:at_pkam_publickey', value: 'x', metadata: flags })
    expect(await primary.ask(line)).toMatch(/^error:AT0009-/)
    expect(await owner.ask(json({ atKey: 'privatekey:at_secret', value: 'x', metadata: flags }))).toMatch(
      /^error:AT0016-/,
    )
  })
})

test('two hundred updates sent at once are answered in order', async () => {
  const first = await commitOf('update:burst.wavi@alice 0')
  owner.write(Array.from({ length: 200 }, (_, i) => `update:burst${i}.wavi@alice ${i}\n`).join(''))
  for (let i = 1; i <= 200; i++) expect(await owner.reply()).toBe(`data:${first + i}${prompt}`)
})
