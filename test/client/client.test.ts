import { describe, expect, it } from 'vitest'
import { type AtClient, connectAtClient } from '../../src/client/client.ts'
import { AtError } from '../../src/core/errors.ts'
import { decryptText, unwrapKey, wrapKey } from '../../src/crypto/cipher.ts'
import { verifyRsa } from '../../src/crypto/signing.ts'
import { auth, ciphertexts, client as vectors } from '../crypto/vectors.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import {
  aliceKeys,
  answers,
  type FakeOptions,
  fakeServer,
  missing,
  record,
  type Script,
  settle,
} from './fake-server.ts'

/** What stands in for @bob: the pair of page 02. */
const bob = { publicKey: auth.rsaPublic, privateKey: auth.rsaPrivate }

interface World {
  readonly client: AtClient
  readonly clock: ManualClock
  readonly server: ReturnType<typeof fakeServer>
  /** Lines on the main connection behind the login. */
  readonly lines: string[]
}

async function connect(
  script: Script,
  options: FakeOptions & { enrollmentId?: string; unreachable?: 'defer' } = {},
): Promise<World> {
  const clock = manualClock()
  const server = fakeServer(script, options)
  const { enrollmentId, unreachable = 'refuse' } = options
  const keys = enrollmentId === undefined ? aliceKeys : { ...aliceKeys, enrollmentId }
  const random = () => 0
  const client = await connectAtClient({ atSign: '@alice', keys, connect: server.connect, clock, random, unreachable })
  return { client, clock, server, lines: server.connections[0]?.lines ?? [] }
}

const outcome = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    (value) => `resolved with ${String(value)}`,
    (error: unknown) => (error instanceof AtError ? `${error.code} ${error.message}` : String(error)),
  )

/** Metadata tags of a line, `update:` or `notify:id:…:update`, up to the key. */
function tags(line: string): Record<string, string> {
  const found = [
    ...line.matchAll(
      /:(ttl|ttb|ttr|ccd|ttln|isEncrypted|dataSignature|sharedKeyEnc|pubKeyCS|encoding|ivNonce):([^: ]+)/g,
    ),
  ]
  return Object.fromEntries(found.map((match) => [match[1], match[2]]))
}

const pairRecords = {
  'llookup:shared_key.bob@alice': `data:${vectors.wrapped}`,
  'llookup:@bob:shared_key@alice': `data:${wrapKey(bob.publicKey, vectors.aesKey)}`,
  'plookup:publickey@bob': `data:${bob.publicKey}`,
}

describe('logging in', () => {
  it('signs the challenge, with the enrollment of its keys', async () => {
    const plain = await connect(() => 'data:1')
    expect(plain.server.connections[0]?.login).toEqual([
      'from:@alice',
      expect.stringMatching(/^pkam:signingAlgo:rsa2048:hashingAlgo:sha256:[A-Za-z0-9+/=]{344}$/),
    ])
    const enrolled = await connect(() => 'data:1', { enrollmentId: 'e-17' })
    expect(enrolled.server.connections[0]?.login[1]).toMatch(/:sha256:enrollmentId:e-17:[A-Za-z0-9+/=]{344}$/)
  })

  it.each([
    ['proof:_3f0e9e6c-7d0b-4f60-8a9b-1c2d3e4f5a6b@alice:7b1d3f5a-2c4e-4f60-8a9b-1c2d3e4f5a6b'],
    ['_3f0e9e6c-7d0b-4f60-8a9b-1c2d3e4f5a6b@bob:7b1d3f5a-2c4e-4f60-8a9b-1c2d3e4f5a6b'],
    ['_3f0e9e6c-7d0b-4f60-8a9b-1c2d3e4f5a6b@alice:7b1d3f5a-2c4e-4f60-8a9b-1c2d3e4f5a6b and more'],
    ['a value that somebody would like to have signed'],
    ['null'],
  ])('signs nothing but its own challenge: %s', async (challenge) => {
    const server = fakeServer(undefined, { challenge })
    const attempt = connectAtClient({
      atSign: '@alice',
      keys: aliceKeys,
      connect: server.connect,
      clock: manualClock(),
    })
    expect(await outcome(attempt)).toContain('AT0008')
    expect(server.connections[0]?.login).toEqual(['from:@alice'])
  })

  it('passes refusals on', async () => {
    expect(await outcome(connect(() => '', { pkamReply: 'error:AT0025:enrollment_id: 17 is denied' }))).toBe(
      'AT0025 enrollment_id: 17 is denied',
    )
    expect(await outcome(connect(() => '', { pkamReply: 'data:null' }))).toContain('AT0008')
  })

  it('refuses keys of another atSign', async () => {
    const server = fakeServer()
    const options = { atSign: '@bob', keys: aliceKeys, connect: server.connect, clock: manualClock() } as const
    expect(await outcome(connectAtClient(options))).toContain('AT0022 @alice is whom these keys belong to')
    expect(server.state.dials).toBe(0)
  })
})

describe('put', () => {
  it('writes public values in clear, signed', async () => {
    const { client, lines } = await connect(() => 'data:42')
    expect(await client.put('public:temp.sensors', '21.5', { ttl: 60_000 })).toBe(42)
    expect(lines).toEqual([
      `update:ttl:60000:dataSignature:${vectors.dataSignature}:isEncrypted:false:public:temp.sensors@alice 21.5`,
    ])
  })

  it('encodes public values that a line cannot carry; the signature is of the text', async () => {
    const { client, lines } = await connect(() => 'data:42')
    for (const value of ['line1\nline2', 'trailing ', ' leading', 'a\u2028b']) {
      await client.put('public:text.notes', value)
      const line = lines.at(-1) ?? ''
      const encoded = Buffer.from(value).toString('base64')
      expect(line.endsWith(`:public:text.notes@alice ${encoded}`)).toBe(true)
      expect(tags(line)).toMatchObject({ encoding: 'base64', isEncrypted: 'false' })
      const signature = tags(line)['dataSignature'] ?? ''
      expect(verifyRsa(vectors.publicKey, value, signature)).toBe(true)
    }
    expect(lines[0]).toContain('bGluZTEKbGluZTI=')
  })

  it('encrypts self values under the self key, with a new IV each time and no signature', async () => {
    const { client, lines } = await connect(() => 'data:-1')
    expect(await client.put('pin.wavi', '21.5')).toBe(-1)
    await client.put('@alice:pin.wavi@alice', '21.5')
    const seen = lines.map((line) => {
      const { ivNonce = '', ...rest } = tags(line)
      expect(rest).toEqual({ isEncrypted: 'true' })
      expect(decryptText(line.split(' ')[1] ?? '', aliceKeys.selfEncryptionKey, ivNonce)).toBe('21.5')
      return ivNonce
    })
    expect(new Set(seen).size).toBe(2)
    expect(lines.map((line) => /:(?:@alice:)?pin\.wavi@alice /.test(line))).toEqual([true, true])
  })

  it('makes the key of a pair once, in the order that every SDK knows', async () => {
    const { client, lines } = await connect(
      answers({ 'plookup:publickey@bob': `data:${bob.publicKey}`, 'llookup:shared_key.bob@alice': 'data:null' }),
    )
    await Promise.all([client.put('@bob:a.wavi', 'one', { ttr: -1, ccd: true }), client.put('@bob:b.wavi', 'two')])
    await client.put('@bob:c.wavi@alice', 'three')
    expect(
      lines.map((line) => line.replaceAll(/[A-Za-z0-9+/=]{340,}/g, '<344>').replaceAll(/[A-Za-z0-9+/]{22}==/g, '<24>')),
    ).toEqual([
      'llookup:shared_key.bob@alice',
      'delete:@bob:shared_key@alice',
      'update:isEncrypted:false:shared_key.bob@alice <344>',
      'llookup:@bob:shared_key@alice',
      'plookup:publickey@bob',
      'update:ttr:3888000:isEncrypted:false:@bob:shared_key@alice <344>',
      expect.stringMatching(
        /^update:ttr:-1:ccd:true:isEncrypted:true:sharedKeyEnc:<344>:pubKeyCS:[0-9a-f]{32}:ivNonce:<24>:@bob:a\.wavi@alice <24>$/,
      ),
      expect.stringMatching(
        /^update:isEncrypted:true:sharedKeyEnc:<344>:pubKeyCS:[0-9a-f]{32}:ivNonce:<24>:@bob:b\.wavi@alice <24>$/,
      ),
      expect.stringContaining(':@bob:c.wavi@alice <24>'),
    ])
    const mine = unwrapKey(vectors.privateKey, lines[2]?.split(' ')[1] ?? '')
    const theirs = unwrapKey(bob.privateKey, lines[5]?.split(' ')[1] ?? '')
    const inline = tags(lines[6] ?? '')
    expect(theirs).toBe(mine)
    expect(unwrapKey(bob.privateKey, inline['sharedKeyEnc'] ?? '')).toBe(mine)
    expect(decryptText(lines[6]?.split(' ')[1] ?? '', mine, inline['ivNonce'])).toBe('one')
    expect(decryptText(lines[8]?.split(' ')[1] ?? '', mine, tags(lines[8] ?? '')['ivNonce'])).toBe('three')
  })

  it('uses the key of a pair that is there', async () => {
    const { client, lines } = await connect(answers(pairRecords))
    await client.put('@bob:a.wavi', '21.5')
    expect(lines.slice(0, 3)).toEqual(Object.keys(pairRecords))
    expect(lines).toHaveLength(4)
    expect(decryptText(lines[3]?.split(' ')[1] ?? '', vectors.aesKey, tags(lines[3] ?? '')['ivNonce'])).toBe('21.5')
  })

  it('asks for the public key again after an hour', async () => {
    const { client, clock, lines } = await connect(answers(pairRecords))
    await client.put('@bob:a.wavi', '1')
    clock.advance(3_599_999)
    await client.put('@bob:a.wavi', '2')
    expect(lines).toHaveLength(5)
    clock.advance(1)
    await Promise.all([client.put('@bob:a.wavi', '3'), client.put('@bob:a.wavi', '4')])
    expect(lines).toHaveLength(10)
  })

  it('makes a new key when its own copy cannot be opened with its private key', async () => {
    const table = { ...pairRecords, 'llookup:shared_key.bob@alice': `data:${wrapKey(bob.publicKey, vectors.aesKey)}` }
    const { client, lines } = await connect(answers(table))
    await client.put('@bob:a.wavi', '1')
    expect(lines[2]).toMatch(/^update:isEncrypted:false:shared_key\.bob@alice /)
  })

  it('says that a recipient has no key, and tries again the next time', async () => {
    const table: Record<string, string> = { ...pairRecords, 'plookup:publickey@bob': missing }
    const { client } = await connect((line) => answers(table)(line, { lines: [], login: [], send() {}, drop() {} }))
    expect(await outcome(client.put('@bob:a.wavi', '1'))).toBe('AT0015 @bob has published no encryption key')
    table['plookup:publickey@bob'] = 'data:MIIBnonsense'
    expect(await outcome(client.put('@bob:a.wavi', '1'))).toContain('The public key of @bob cannot be used')
    table['plookup:publickey@bob'] = `data:${bob.publicKey}`
    expect(await client.put('@bob:a.wavi', '1')).toBe(7)
  })

  it.each(['AT0007-Secondary server not found', 'AT0021-Unable to connect', 'AT0015-key not found', 'AT0011-Whatever'])(
    'writes for a recipient out of reach (%s) when told to, and hands over the key once it can',
    async (error) => {
      const table: Record<string, string> = {
        'llookup:shared_key.bob@alice': missing,
        'llookup:@bob:shared_key@alice': missing,
        'plookup:publickey@bob': `error:${error} : somewhere`,
      }
      const script: Script = (line) => answers(table)(line, { lines: [], login: [], send() {}, drop() {} })
      const { client, clock, lines } = await connect(script, { unreachable: 'defer' })
      await client.put('@bob:a.wavi', '1')
      const copy = lines
        .find((line) => line.startsWith('update:isEncrypted:false:shared_key.bob@alice '))
        ?.split(' ')[1]
      const first = lines.at(-1) ?? ''
      const aesKey = unwrapKey(vectors.privateKey, copy ?? '')
      expect(decryptText(first.split(' ')[1] ?? '', aesKey, tags(first)['ivNonce'])).toBe('1')
      expect(tags(first)['sharedKeyEnc']).toBeUndefined()

      table['llookup:shared_key.bob@alice'] = `data:${copy}`
      table['plookup:publickey@bob'] = `data:${bob.publicKey}`
      clock.advance(60_000)
      await client.put('@bob:a.wavi', '2')
      const theirs = lines.find((line) => line.includes(':@bob:shared_key@alice '))?.split(' ')[1]
      expect(unwrapKey(bob.privateKey, theirs ?? '')).toBe(aesKey)
      expect(unwrapKey(bob.privateKey, tags(lines.at(-1) ?? '')['sharedKeyEnc'] ?? '')).toBe(aesKey)
    },
  )

  it.each([
    ['x.wavi@bob', 'AT0022'],
    ['cached:public:x@alice', 'AT0022'],
    ['private:x@alice', 'AT0022'],
    ['shared_key.bob', 'AT0022'],
    ['@bob:shared_key', 'AT0022'],
    ['public:publickey', 'AT0022'],
    ['bad name', 'AT0016'],
    ['', 'AT0016'],
  ])('refuses the key %j without asking', async (key, code) => {
    const { client, lines } = await connect(() => 'data:1')
    expect(await outcome(client.put(key, 'v'))).toContain(code)
    expect(lines).toEqual([])
  })

  it('refuses values that cannot be sent', async () => {
    const { client, lines } = await connect(() => 'data:1')
    expect(await outcome(client.put('public:x.wavi', ''))).toContain('AT0022')
    expect(await outcome(client.put('public:x.wavi', 'é'.repeat(5_120_000)))).toContain('AT0005')
    expect(lines).toEqual([])
    expect(await client.put('x.wavi', '')).toBe(1)
  })
})

describe('get', () => {
  it.each([
    ['x.ns', 'llookup:all:x.ns@alice'],
    ['@bob:x.ns@alice', 'llookup:all:@bob:x.ns@alice'],
    ['public:x@alice', 'llookup:all:public:x@alice'],
    ['cached:@alice:x.ns@bob', 'llookup:all:cached:@alice:x.ns@bob'],
    ['x.ns@bob', 'lookup:all:x.ns@bob'],
    ['@alice:x.ns@bob', 'lookup:all:x.ns@bob'],
    ['public:x.ns@bob', 'plookup:all:x.ns@bob'],
  ])('asks for %s with %s', async (key, line) => {
    const { client, lines } = await connect(() => missing)
    expect(await client.get(key)).toBeUndefined()
    expect(lines).toEqual([line])
  })

  it('passes the cache by when told to', async () => {
    const { client, lines } = await connect(() => missing)
    await client.get('x.ns@bob', { bypassCache: true })
    await client.get('public:x.ns@bob', { bypassCache: true })
    await client.get('x.ns', { bypassCache: true })
    expect(lines).toEqual([
      'lookup:bypassCache:true:all:x.ns@bob',
      'plookup:bypassCache:true:all:x.ns@bob',
      'llookup:all:x.ns@alice',
    ])
  })

  it('passes errors on, and takes null for nothing', async () => {
    const { client } = await connect((line) =>
      line.includes('null') ? 'data:null' : 'error:AT0009-UnAuthorized client in request : no',
    )
    expect(await client.get('null.ns')).toBeUndefined()
    expect(await outcome(client.get('x.ns'))).toBe('AT0009 no')
    expect(await outcome(client.get('@carol:x.ns@bob'))).toContain('AT0022')
  })

  const read = async (key: string, reply: string, table: Record<string, string> = {}) => {
    const { client, lines } = await connect((line, connection) =>
      line.includes(':all:') ? reply : answers(table)(line, connection),
    )
    return { record: await client.get(key), lines: lines.slice(1) }
  }

  it.each(ciphertexts)('reads %j from every IV form, as self value', async (plain, zero, random, wrapping) => {
    for (const [cipher, ivNonce] of [
      [zero, undefined],
      [zero, null],
      [random, vectors.iv],
      [wrapping, vectors.wrappingIv],
    ]) {
      const metadata = { isEncrypted: true, ...(ivNonce === undefined ? {} : { ivNonce }) }
      const { record: got } = await read('x.ns', record('x.ns@alice', cipher ?? '', metadata))
      expect(got).toEqual({ key: 'x.ns@alice', value: plain, metadata })
    }
  })

  const cipher = ciphertexts[0][2]
  const encrypted = { isEncrypted: true, ivNonce: vectors.iv }
  const wrongKey = wrapKey(vectors.publicKey, Buffer.alloc(32, 7).toString('base64'))

  it('reads what another shared with the wrapped key inside, asking for nothing', async () => {
    const metadata = { ...encrypted, sharedKeyEnc: vectors.wrapped, pubKeyCS: vectors.fingerprint }
    const { record: got, lines } = await read('x.ns@bob', record('@alice:x.ns@bob', cipher, metadata))
    expect(got?.value).toBe('21.5')
    expect(lines).toEqual([])
  })

  it.each([
    ['the cached copy of the key', {}, { 'llookup:cached:@alice:shared_key@bob': `data:${vectors.wrapped}` }, 1],
    ['the key at the other atServer', {}, { 'lookup:shared_key@bob': `data:${vectors.wrapped}` }, 2],
    [
      'the record of the key when the one inside is for an older key pair',
      { sharedKeyEnc: wrapKey(bob.publicKey, vectors.aesKey) },
      { 'lookup:shared_key@bob': `data:${vectors.wrapped}` },
      2,
    ],
    [
      'the key at the other atServer when the cached copy is an older one',
      {},
      {
        'llookup:cached:@alice:shared_key@bob': `data:${wrongKey}`,
        'lookup:bypassCache:true:shared_key@bob': `data:${vectors.wrapped}`,
      },
      2,
    ],
    [
      'the key at the other atServer when the cached copy may not be read',
      {},
      {
        'llookup:cached:@alice:shared_key@bob': 'error:AT0009-UnAuthorized client in request : no',
        'lookup:shared_key@bob': `data:${vectors.wrapped}`,
      },
      2,
    ],
  ])('reads what another shared by %s', async (_name, more, table, questions) => {
    const { record: got, lines } = await read(
      'x.ns@bob',
      record('@alice:x.ns@bob', cipher, { ...encrypted, ...more }),
      table,
    )
    expect(got?.value).toBe('21.5')
    expect(lines).toHaveLength(questions)
  })

  it('remembers the key of another atSign', async () => {
    const reply = record('@alice:x.ns@bob', cipher, encrypted)
    const { client, lines } = await connect((line, connection) =>
      line.includes(':all:')
        ? reply
        : answers({ 'lookup:shared_key@bob': `data:${vectors.wrapped}` })(line, connection),
    )
    for (let time = 0; time < 3; time++) expect((await client.get('x.ns@bob'))?.value).toBe('21.5')
    expect(lines.filter((line) => line.includes('shared_key'))).toHaveLength(2)
  })

  it('reads its own record for another with the key of the pair', async () => {
    const table = { 'llookup:shared_key.bob@alice': `data:${vectors.wrapped}` }
    const { record: got } = await read('@bob:x.ns', record('@bob:x.ns@alice', cipher, encrypted), table)
    expect(got?.value).toBe('21.5')
  })

  it('reads ciphertext that its writer did not flag, as C and Rust do', async () => {
    const c = await read('x.ns', record('x.ns@alice', cipher, { isEncrypted: false, ivNonce: vectors.iv }))
    expect(c.record?.value).toBe('21.5')
    const rust = await read('x.ns', record('x.ns@alice', ciphertexts[0][1], { isEncrypted: false }))
    expect(rust.record?.value).toBe('21.5')
  })

  it('leaves plain values of private records alone', async () => {
    for (const value of ['21.5', 'true', 'hello there', 'A'.repeat(24), vectors.wrapped, vectors.aesKey]) {
      const { record: got } = await read('x.ns', record('x.ns@alice', value, { isEncrypted: false }))
      expect(got?.value).toBe(value)
    }
  })

  it('gives wrapped keys and public keys as they are', async () => {
    const wrapped = await read('shared_key.bob', record('shared_key.bob@alice', vectors.wrapped, { isEncrypted: true }))
    expect(wrapped.record?.value).toBe(vectors.wrapped)
    const open = await read('public:publickey@bob', record('cached:public:publickey@bob', vectors.publicKey))
    expect(open.record).toMatchObject({ key: 'cached:public:publickey@bob', value: vectors.publicKey })
  })

  it('undoes the encoding of public values', async () => {
    const { record: got } = await read(
      'public:x@bob',
      record('public:x@bob', 'bGluZTEKbGluZTI=', { encoding: 'base64' }),
    )
    expect(got?.value).toBe('line1\nline2')
  })

  it('gives the bytes of binary values too', async () => {
    const metadata = { ...encrypted, isBinary: true }
    const { record: got } = await read('x.ns', record('x.ns@alice', 'cZJNarYcbVXZinfkRDZnEA==', metadata))
    expect(got?.value).toBe('\u3480\u754a\ud783\u3470')
    expect(got?.bytes).toEqual(Uint8Array.of(0, 1, 2, 3, 0xfe, 0xff))
  })

  it.each([
    ['{"providerId":"legacy"}', true],
    ['{"other":1}', true],
    ['{"providerId":"at/symmetric/AES/GCM","iv":"x"}', false],
    ['{"providerId":"com.example.mine"}', false],
  ])('reads or names the provider %s', async (appMetadata, readable) => {
    for (const shown of [JSON.parse(appMetadata), Buffer.from(appMetadata).toString('base64')]) {
      const reading = read('x.ns', record('x.ns@alice', cipher, { ...encrypted, appMetadata: shown }))
      if (readable) expect((await reading).record?.value).toBe('21.5')
      else expect(await outcome(reading)).toContain(`"${JSON.parse(appMetadata).providerId}"`)
    }
  })

  it('never gives ciphertext for a value: it says why it cannot be read', async () => {
    const reading = (metadata: object, table = {}) =>
      outcome(read('x.ns@bob', record('@alice:x.ns@bob', cipher, { ...encrypted, ...metadata }), table))
    expect(await reading({})).toBe('AT0011 x.ns@bob cannot be decrypted: @bob shares no key with @alice')
    expect(await reading({}, { 'lookup:shared_key@bob': `data:${wrongKey}` })).toMatch(
      /^AT0011 x\.ns@bob cannot be decrypted/,
    )
    expect(
      await reading({}, { 'lookup:shared_key@bob': 'error:AT0021-Unable to connect to secondary : bob.lan' }),
    ).toContain('bob.lan')
    expect(await reading({ ivNonce: 'short' })).toMatch(/^AT0011/)
  })

  it('survives records of any shape', async () => {
    for (const reply of [
      'data:{}',
      'data:[]',
      'data:17',
      'data:"text"',
      'data:{"data":5,"metaData":null}',
      'data:{"key":1}',
    ]) {
      expect(await outcome(read('x.ns', reply))).toContain('resolved')
    }
    expect(await outcome(read('x.ns', 'data:21.5 °C'))).toContain('AT0011')
  })
})

describe('the other requests', () => {
  it('deletes, scans, asks for states and sends any line', async () => {
    const { client, lines } = await connect((line) =>
      line.startsWith('scan')
        ? 'data:["a@alice","b@alice",3]'
        : line.startsWith('notify:status')
          ? 'data:delivered'
          : 'data:9',
    )
    expect(await client.delete('@bob:x.ns')).toBe(9)
    expect(await client.scan()).toEqual(['a@alice', 'b@alice'])
    await client.scan('^temp', { showHidden: true })
    await client.scan('.*', { atSign: '@bob' })
    expect(await client.notificationStatus('n-1')).toBe('delivered')
    expect(await client.request('info:brief')).toBe('data:9')
    expect(lines).toEqual([
      'delete:@bob:x.ns@alice',
      'scan',
      'scan:showHidden:true ^temp',
      'scan:@bob .*',
      'notify:status:n-1',
      'info:brief',
    ])
  })

  it('marks an ephemeral notification', async () => {
    const { client, lines } = await connect((line, connection) =>
      line.startsWith('notify') ? 'data:n1' : answers(pairRecords)(line, connection),
    )
    await client.notify('@bob:door', 'open', { id: 'n1', ttln: 5000, ephemeral: true })
    expect(lines.at(-1)).toMatch(/^notify:id:n1:update:ttln:5000:eph:isEncrypted:true:/)
  })

  it('cannot choose when its changes reach the flash of an atServer elsewhere', async () => {
    const { client } = await connect(() => 'data:1')
    expect(await outcome(client.put('a.b', '1', { durability: 'interval' }))).toMatch(
      /^AT0022 interval is a durability/,
    )
  })

  it('notifies with the wrapped key inside', async () => {
    const { client, lines } = await connect((line, connection) =>
      line.startsWith('notify') ? 'data:n-1' : answers(pairRecords)(line, connection),
    )
    expect(await client.notify('@bob:temp.sensors', '21.5', { id: 'n-1', ttln: 60_000, ttr: -1 })).toBe('n-1')
    const line = lines.at(-1) ?? ''
    expect(line).toMatch(
      /^notify:id:n-1:update:ttln:60000:ttr:-1:isEncrypted:true:sharedKeyEnc:.{344}:pubKeyCS:[0-9a-f]{32}:ivNonce:.{24}:@bob:temp\.sensors@alice:.{24}$/,
    )
    expect(unwrapKey(bob.privateKey, tags(line)['sharedKeyEnc'] ?? '')).toBe(vectors.aesKey)
    expect(decryptText(line.slice(-24), vectors.aesKey, tags(line)['ivNonce'])).toBe('21.5')
  })

  it('notifies without a value', async () => {
    const { client, lines } = await connect(() => 'data:n')
    await client.notify('@bob:temp.sensors', undefined, { operation: 'delete', id: 'n' })
    await client.notify('@bob:temp.sensors', undefined)
    expect(lines[0]).toBe('notify:id:n:delete:isEncrypted:false:@bob:temp.sensors@alice')
    expect(lines[1]).toMatch(/^notify:id:[0-9a-f-]{36}:update:isEncrypted:false:@bob:temp\.sensors@alice$/)
  })

  it.each([
    ['temp.sensors', undefined],
    ['public:temp.sensors', undefined],
    ['@bob:temp.sensors@bob', undefined],
    ['@bob:temp.sensors', 'n:1'],
    ['@bob:temp.sensors', ''],
  ])('refuses to notify %s with id %j', async (key, id) => {
    const { client, lines } = await connect(() => 'data:1')
    expect(await outcome(client.notify(key, 'v', id === undefined ? {} : { id }))).toContain('AT0022')
    expect(lines).toEqual([])
  })

  it('lets no value or key smuggle a second command', async () => {
    const { client, lines } = await connect(() => 'data:1')
    expect(await outcome(client.get('x.ns\ndelete:y@alice'))).toContain('AT0016')
    expect(await outcome(client.scan('a\ndelete:y@alice'))).toContain('AT0003')
    expect(await outcome(client.notificationStatus('a\ndelete:y@alice'))).toContain('AT0003')
    expect(await outcome(client.request('scan\r\n'))).toContain('AT0003')
    expect(lines).toEqual([])
  })
})

describe('a connection that breaks', () => {
  it('is made again, and what may be repeated is sent again', async () => {
    let drops = 1
    const { client, server } = await connect((_line, connection) => {
      if (drops-- <= 0) return 'data:5'
      connection.drop()
      return undefined
    })
    expect(await client.put('public:x.ns', 'v')).toBe(5)
    expect(server.connections).toHaveLength(2)
    expect(server.connections[1]?.lines).toEqual(server.connections[0]?.lines)
  })

  it('does not repeat lines that it does not know', async () => {
    const { client, server } = await connect((_line, connection) => {
      connection.drop()
      return undefined
    })
    expect(await outcome(client.request('config:block:add:@eve'))).toContain('AT0004')
    expect(server.connections.flatMap(({ lines }) => lines)).toHaveLength(1)
  })

  it('shares one new connection among all requests', async () => {
    const { client, server } = await connect(() => 'data:5')
    server.connections[0]?.drop()
    await settle()
    await Promise.all(Array.from({ length: 20 }, (_, index) => client.delete(`k${index}.ns`)))
    expect(server.connections).toHaveLength(2)
  })

  it('pauses longer after each failure, and recovers', async () => {
    const { client, clock, server } = await connect(() => 'data:5')
    server.connections[0]?.drop()
    await settle()
    server.state.failures = 3
    expect(await outcome(client.delete('a.ns'))).toContain('no route')
    for (const ms of [500, 1_000]) {
      const waiting = outcome(client.delete('a.ns'))
      clock.advance(ms - 1)
      await settle()
      const { dials } = server.state
      clock.advance(1)
      expect(await waiting).toContain('no route')
      expect(server.state.dials).toBe(dials + 1)
    }
    const last = client.delete('a.ns')
    clock.advance(2_000)
    expect(await last).toBe(5)
  })

  it('gives up on a reply after its time and starts anew', async () => {
    let answering = false
    const { client, clock } = await connect(() => (answering ? 'data:5' : undefined))
    const waiting = outcome(client.delete('a.ns'))
    await settle()
    clock.advance(35_000)
    expect(await waiting).toContain('AT0023')
    answering = true
    expect(await client.delete('a.ns')).toBe(5)
  })

  it('refuses everything once it is closed', async () => {
    const { client, server } = await connect(() => undefined)
    const waiting = outcome(client.delete('a.ns'))
    await settle()
    await client.close()
    expect(await waiting).toContain('AT0004')
    expect(await outcome(client.get('a.ns'))).toBe('AT0004 The client is closed')
    expect(server.state.dials).toBe(1)
  })
})
