import { beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { asOwner, challengeFor, digestOf, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let secret: string
beforeAll(async () => {
  alice = await startServer()
  secret = (await alice.server.cramSecret()) ?? ''
})

const failed = 'error:AT0401-Exception: Authentication Failed\n@'

test('the SHA-512 of secret and challenge in lower-case hex logs in (page 02, section 3)', async () => {
  const client = await raw(alice)
  const digest = digestOf(secret, await challengeFor(client, alice))
  expect(await client.ask(`cram:${digest}`)).toBe('data:success\n@alice@')
  expect(await client.ask('llookup:public:signing_publickey@alice')).toMatch(/^data:MII/)
})

describe('a digest that is not right', () => {
  test.each<[string, (challenge: string) => string]>([
    ['of another secret', (challenge) => digestOf('guess', challenge)],
    ['of another challenge', () => digestOf(secret, '_x@alice:y')],
    ['in upper case', (challenge) => digestOf(secret, challenge).toUpperCase()],
    ['cut short', (challenge) => digestOf(secret, challenge).slice(0, -1)],
    ['with something behind it', (challenge) => `${digestOf(secret, challenge)}:`],
    ['of one character', () => '0'],
  ])('%s is refused and the connection stays open', async (_, digest) => {
    const client = await raw(alice)
    expect(await client.ask(`cram:${digest(await challengeFor(client, alice))}`)).toBe(failed)
    expect(await client.ask('noop:0')).toBe('data:ok\n@')
  })
})

describe('a challenge', () => {
  test('is good for one attempt (page 08, section 1)', async () => {
    const client = await raw(alice)
    const digest = digestOf(secret, await challengeFor(client, alice))
    await client.ask('cram:guess')
    expect(await client.ask(`cram:${digest}`)).toMatch(/^error:AT0015-/)
  })

  test('is spent by a success, too', async () => {
    const owner = await raw(alice)
    const digest = digestOf(secret, await challengeFor(owner, alice))
    await owner.ask(`cram:${digest}`)
    expect(await owner.ask(`cram:${digest}`)).toMatch(/^error:AT0015-key not found : private:_.*\n@alice@$/)
  })

  test('lives for sixty seconds (page 06, section 1)', async () => {
    const client = await raw(alice)
    const inTime = digestOf(secret, await challengeFor(client, alice))
    alice.clock.advance(limits.challengeMs)
    expect(await client.ask(`cram:${inTime}`)).toBe('data:success\n@alice@')
    const late = digestOf(secret, await challengeFor(client, alice))
    alice.clock.advance(limits.challengeMs + 1)
    expect(await client.ask(`cram:${late}`)).toBe(failed)
  })

  test('of another session does not count', async () => {
    const [one, other] = [await raw(alice), await raw(alice)]
    const digest = digestOf(secret, await challengeFor(one, alice))
    await challengeFor(other, alice)
    expect(await other.ask(`cram:${digest}`)).toBe(failed)
    expect(await one.ask(`cram:${digest}`)).toBe('data:success\n@alice@')
  })

  test('is missing without a from, or with one by another atSign', async () => {
    const client = await raw(alice)
    const missing = /^error:AT0015-Exception: private:_[0-9a-f-]{36}@alice does not exist in keystore\n@$/
    expect(await client.ask(`cram:${'0'.repeat(128)}`)).toMatch(missing)
    await client.ask('from:@bob')
    expect(await client.ask(`cram:${'0'.repeat(128)}`)).toMatch(missing)
  })
})

test('a failure ends an earlier login (page 02, section 3)', async () => {
  const owner = await asOwner(alice)
  await owner.ask('from:@alice')
  expect(await owner.ask('cram:guess')).toBe(failed)
  expect(await owner.ask('stats')).toBe('error:AT0401-Exception: Command cannot be executed without auth\n@')
})

test('without a digest it is a syntax error', async () => {
  const client = await raw(alice)
  expect(await client.ask('cram')).toMatch(/^error:AT0003-/)
  expect(await client.ask('cram:')).toMatch(/^error:AT0003-/)
})

test('once the secret is deleted nobody logs in with it (page 02, section 3)', async () => {
  const server = await startServer()
  const old = (await server.server.cramSecret()) ?? ''
  const owner = await asOwner(server)
  expect(await owner.ask('delete:privatekey:at_secret')).toBe('data:-1\n@alice@')
  const client = await raw(server)
  const digest = digestOf(old, await challengeFor(client, server))
  expect(await client.ask(`cram:${digest}`)).toBe(
    'error:AT0015-Exception: privatekey:at_secret does not exist in keystore\n@',
  )
})
