import { generateKeyPairSync, sign } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import {
  asOwner,
  asPrimary,
  type Client,
  challengeFor,
  loginKeys,
  raw,
  startServer,
  type TestServer,
} from '../support/server.ts'

const ecc = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const eccPoint = ecc.publicKey.export({ format: 'der', type: 'spki' }).subarray(-65).toString('hex')
const expiresAt = Date.UTC(2026, 0, 31, 11)

let alice: TestServer
let privateKey: string
beforeAll(async () => {
  privateKey = (await loginKeys()).privateKey
  alice = await startServer({
    enrollments: {
      primary: { namespaces: { '*': 'rw', __manage: 'rw' } },
      app: { namespaces: { wavi: 'rw' } },
      ecc: { namespaces: { wavi: 'r' }, publicKey: eccPoint, signingAlgo: 'ecc_secp256r1' },
      denied: { state: 'denied' },
      pending: { state: 'pending' },
      revoked: { state: 'revoked' },
      short: { expiresAt },
    },
  })
})

/** PKCS#1 v1.5 by node:crypto itself, so that our own signing is not its own judge. */
const rsa = (text: string, hash: 'sha256' | 'sha512' = 'sha256'): string =>
  sign(hash, Buffer.from(text), { key: Buffer.from(privateKey, 'base64'), format: 'der', type: 'pkcs8' }).toString(
    'base64',
  )

/** Base64 of the ASCII hex digits of r and s (page 02, section 4). */
const eccSignature = (text: string): string => {
  const bytes = sign('sha256', Buffer.from(text), { key: ecc.privateKey, dsaEncoding: 'ieee-p1363' })
  return Buffer.from(bytes.toString('hex')).toString('base64')
}

async function attempt(line: (challenge: string) => string, client?: Client): Promise<string> {
  const connection = client ?? (await raw(alice))
  return connection.ask(line(await challengeFor(connection, alice)))
}

const success = 'data:success\n@alice@'
const failed = 'error:AT0401-Exception: pkam authentication failed\n@'

describe('a signature of the challenge logs in (page 02, section 4)', () => {
  test.each<[string, (challenge: string) => string]>([
    ['RSA with SHA-256', (c) => `pkam:${rsa(c)}`],
    ['as at_c and at_client send it', (c) => `pkam:signingAlgo:rsa2048:hashingAlgo:sha256:enrollmentId:app:${rsa(c)}`],
    ['RSA with SHA-512', (c) => `pkam:hashingAlgo:sha512:${rsa(c, 'sha512')}`],
    ['with keywords in any case and order', (c) => `PKAM:ENROLLMENTID:app:HashingAlgo:SHA512:${rsa(c, 'sha512')}`],
    ['in URL-safe base64 (page 05, 2.3)', (c) => `pkam:${rsa(c).replaceAll('+', '-').replaceAll('/', '_')}`],
    ['the id of the legacy credential', (c) => `pkam:enrollmentId:primary:${rsa(c)}`],
    ['an id in upper case (page 08, 2.2)', (c) => `pkam:enrollmentId:APP:${rsa(c)}`],
    ['elliptic curve', (c) => `pkam:signingAlgo:ecc_secp256r1:enrollmentId:ecc:${eccSignature(c)}`],
    ['an algorithm that the key is not of', (c) => `pkam:signingAlgo:mldsa65:enrollmentId:app:${rsa(c)}`],
    [
      'elliptic curve, whose hash name means nothing',
      (c) => `pkam:signingAlgo:ecc_secp256r1:hashingAlgo:sha512:enrollmentId:ecc:${eccSignature(c)}`,
    ],
    [
      'the algorithm of the enrollment, whatever the line says (page 08, 2.2)',
      (c) => `pkam:enrollmentId:ecc:${eccSignature(c)}`,
    ],
  ])('%s', async (_, line) => {
    expect(await attempt(line)).toBe(success)
  })
})

describe('what does not verify is refused alike, and the connection stays open', () => {
  test.each<[string, (challenge: string) => string]>([
    ['another text', () => `pkam:${rsa('another text')}`],
    ['another hash than named', (c) => `pkam:hashingAlgo:sha512:${rsa(c)}`],
    ['another enrollment', (c) => `pkam:enrollmentId:ecc:${rsa(c)}`],
    ['no base64', () => 'pkam:%%%'],
    ['base64 of nothing much', () => 'pkam:AAAA'],
    [
      'elliptic curve in DER',
      (c) => `pkam:enrollmentId:ecc:${sign('sha256', Buffer.from(c), ecc.privateKey).toString('base64')}`,
    ],
  ])('%s', async (_, line) => {
    const client = await raw(alice)
    expect(await attempt(line, client)).toBe(failed)
    expect(await client.ask('noop:0')).toBe('data:ok\n@')
  })

  test('without from, and with a from by another atSign', async () => {
    const client = await raw(alice)
    expect(await client.ask(`pkam:${rsa('x')}`)).toBe(failed)
    const proof = await client.ask('from:@bob')
    expect(await client.ask(`pkam:${rsa(proof.slice('data:'.length, proof.indexOf('\n')))}`)).toBe(failed)
  })

  test('a challenge used before, by failure or success', async () => {
    const client = await raw(alice)
    const first = await challengeFor(client, alice)
    await client.ask('pkam:AAAA')
    expect(await client.ask(`pkam:${rsa(first)}`)).toBe(failed)
    const second = await challengeFor(client, alice)
    expect(await client.ask(`pkam:${rsa(second)}`)).toBe(success)
    expect(await client.ask(`pkam:${rsa(second)}`)).toBe(failed)
  })

  test('a challenge older than sixty seconds', async () => {
    const client = await raw(alice)
    const challenge = await challengeFor(client, alice)
    alice.clock.advance(limits.challengeMs + 1)
    expect(await client.ask(`pkam:${rsa(challenge)}`)).toBe(failed)
  })

  test('and an earlier login is lost (page 02, section 4)', async () => {
    const client = await raw(alice)
    expect(await attempt((c) => `pkam:${rsa(c)}`, client)).toBe(success)
    await client.ask('from:@alice')
    expect(await client.ask('pkam:AAAA')).toBe(failed)
    expect(await client.ask('stats')).toMatch(/^error:AT0401-/)
  })
})

describe('an enrollment that may not log in is told its state in the colon form (page 01, 5.1)', () => {
  test.each([
    ['denied', 'error:AT0025:enrollment_id: denied is denied\n@'],
    ['pending', 'error:AT0026:enrollment_id: pending is pending\n@'],
    ['revoked', 'error:AT0027:enrollment_id: revoked is revoked\n@'],
    ['nosuch', 'error:AT0028:enrollment_id: nosuch is expired or invalid\n@'],
    ['constructor', 'error:AT0028:enrollment_id: constructor is expired or invalid\n@'],
  ])('%s', async (id, reply) => {
    expect(await attempt((c) => `pkam:enrollmentId:${id}:${rsa(c)}`)).toBe(reply)
  })

  test('never as JSON', async () => {
    const client = await raw(alice)
    await client.ask('from:@alice:clientConfig:{"version":"3.0.57"}')
    expect(await client.ask('pkam:enrollmentId:denied:AAAA')).toBe('error:AT0025:enrollment_id: denied is denied\n@')
  })

  test('after its last day', async () => {
    expect(await attempt((c) => `pkam:enrollmentId:short:${rsa(c)}`)).toBe(success)
    alice.clock.advance(expiresAt - alice.clock.now() + 1)
    expect(await attempt((c) => `pkam:enrollmentId:short:${rsa(c)}`)).toBe(
      'error:AT0028:enrollment_id: short is expired or invalid\n@',
    )
  })

  test('and keeps the login it had (page 08, 2.2)', async () => {
    const client = await raw(alice)
    await attempt((c) => `pkam:${rsa(c)}`, client)
    expect(await client.ask('pkam:enrollmentId:revoked:AAAA')).toMatch(/^error:AT0027:.*\n@alice@$/)
    expect(await client.ask('stats:3')).toMatch(/^data: /)
  })
})

describe('lines that are no pkam', () => {
  test.each(['pkam', 'pkam:', 'pkam:signingAlgo:dsa:AAAA', 'pkam:hashingAlgo:md5:AAAA', 'pkam:enrollmentId::AAAA'])(
    '%s',
    async (line) => {
      expect(await (await raw(alice)).ask(line)).toMatch(/^error:AT0003-Exception: .*\n@$/)
    },
  )
})

describe('the credential of a legacy onboarding (page 08, 2.2)', () => {
  test('is installed by a CRAM session and logs in without an id', async () => {
    const server = await startServer()
    const primary = await asPrimary(server)
    expect(await server.server.activated()).toBe(true)
    expect(await primary.ask('update:public:location@alice here')).toMatch(/^data:\d+\n/)
    expect(await primary.ask('llookup:privatekey:at_pkam_publickey')).toMatch(/^error:AT0009-/)
  })

  test('is refused when it is no key', async () => {
    const owner = await asOwner(await startServer())
    for (const value of ['x', 'MIIB', eccPoint]) {
      expect(await owner.ask(`update:privatekey:at_pkam_publickey ${value}`)).toMatch(/^error:AT0022-/)
    }
  })

  test('is installed by no PKAM session, not even a full one', async () => {
    const client = await raw(alice)
    await attempt((c) => `pkam:${rsa(c)}`, client)
    const { publicKey } = await loginKeys()
    for (const verb of ['update:', 'update:nc:']) {
      const reply = await client.ask(`${verb}privatekey:at_pkam_publickey ${publicKey}`)
      expect(reply).toMatch(/^error:AT0009-UnAuthorized client in request : privatekey:at_pkam_publickey may not be/)
    }
  })

  test('that does not exist is told as that', async () => {
    const server = await startServer()
    const client = await raw(server)
    await challengeFor(client, server)
    expect(await client.ask('pkam:AAAA')).toMatch(
      /^error:AT0401-Exception: this atSign has no legacy PKAM credential\./,
    )
  })
})
