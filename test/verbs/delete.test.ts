import { beforeAll, describe, expect, test } from 'vitest'
import {
  asEnrolled,
  asOwner,
  asPeer,
  asPrimary,
  type Client,
  connectServers,
  startServer,
  type TestServer,
} from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({
    enrollments: { app: { namespaces: { wavi: 'rw' } }, reader: { namespaces: { wavi: 'r' } } },
  })
  owner = await asOwner(alice)
})

test('the record is gone, and a commit says so', async () => {
  await owner.ask('update:public:location@alice here')
  expect(await owner.ask('delete:public:location@alice')).toMatch(/^data:\d+\n@alice@$/)
  expect(await owner.ask('llookup:public:location@alice')).toMatch(/^error:AT0015-/)
  expect(await owner.ask('scan:cl location')).toMatch(
    /^data:\[\{"atKey":"public:location@alice","operation":"-","commitId":\d+,/,
  )
})

test('of what is not there it answers a commit id, too (page 03, section 7)', async () => {
  const [first, second] = [await owner.ask('delete:never.wavi@alice'), await owner.ask('delete:never.wavi@alice')]
  expect(Number(/\d+/.exec(second)?.[0])).toBe(Number(/\d+/.exec(first)?.[0]) + 1)
})

test('the key may be written in any case', async () => {
  await owner.ask('update:mixed.wavi@alice v')
  await owner.ask('DELETE:Mixed.WAVI@Al.ice')
  expect(await owner.ask('llookup:mixed.wavi@alice')).toMatch(/^error:AT0015-/)
})

test('dAt becomes the time of the commit (page 07, E13)', async () => {
  await owner.ask('delete:dAt:2023-05-05T11:59:44.123000Z:sc2.wavi@alice')
  expect(await owner.ask('scan:cl sc2')).toContain('"opTime":"2023-05-05T11:59:44.123000Z"')
})

test('nc leaves no trace in the log (page 07, E11)', async () => {
  await owner.ask('update:tomb.wavi@alice v')
  await owner.ask('delete:tomb.wavi@alice')
  expect(await owner.ask('delete:nc:tomb.wavi@alice')).toBe('data:-1\n@alice@')
  expect(await owner.ask('scan:cl tomb')).toBe('data:[]\n@alice@')
})

test('an immutable record needs force (page 07, E21)', async () => {
  await owner.ask('update:immutable:true:_lock.ns@alice holder')
  expect(await owner.ask('delete:_lock.ns@alice')).toBe(
    'error:AT0032-Illegal state exception : Immutable records may not be deleted without the force flag\n@alice@',
  )
  expect(await owner.ask('delete:force:_lock.ns@alice')).toMatch(/^data:\d+\n/)
})

test('an immutable record that has expired needs no force', async () => {
  await owner.ask('update:ttl:1000:immutable:true:old.ns@alice holder')
  alice.clock.advance(1001)
  expect(await owner.ask('delete:old.ns@alice')).toMatch(/^data:\d+\n/)
})

test('a copy of an immutable record needs no force (page 07, section 6)', async () => {
  const bob = await startServer({ atSign: '@bob' })
  connectServers(alice, bob)
  const peer = await asPeer(alice, bob)
  expect(await peer.ask('notify:ttr:-1:immutable:true:@alice:copy.wavi@bob:v')).toBe('data:success\n@bob@')
  expect(await owner.ask('llookup:cached:@alice:copy.wavi@bob')).toBe('data:v\n@alice@')
  expect(await owner.ask('delete:cached:@alice:copy.wavi@bob')).toMatch(/^data:\d+\n/)
  expect(await owner.ask('llookup:cached:@alice:copy.wavi@bob')).toMatch(/^error:AT0015-/)
})

describe('keys without which the atSign would stop working (page 07, section 1)', () => {
  test.each([
    'delete:public:publickey@alice',
    'delete:public:PublicKey@Alice',
    'delete:publickey@alice',
    'delete:force:public:publickey@alice',
    'delete:public:signing_publickey@alice',
    'delete:@bob:signing_privatekey@alice',
  ])('%s', async (line) => {
    expect(await owner.ask(line)).toMatch(
      /^error:AT0009-UnAuthorized client in request : Cannot delete protected key: '[a-z_]+@alice'\n@alice@$/,
    )
    expect(await owner.ask('llookup:public:signing_publickey@alice')).toMatch(/^data:MII/)
  })

  test('their copies of other atSigns are records like any other', async () => {
    expect(await owner.ask('delete:cached:public:publickey@bob')).toMatch(/^data:\d+\n/)
  })
})

test.each([
  ['delete', 'AT0003'],
  ['delete:', 'AT0003'],
  ['delete phone@alice', 'AT0003'],
  ['delete:phone@alice x', 'AT0003'],
  ['delete:phone', 'AT0003'],
  ['delete:priority:urgent:phone@alice', 'AT0003'],
  ['delete:dAt:yesterday:phone@alice', 'AT0003'],
  ['delete:privatekey:at_pkam_publickey', 'AT0003'],
  ['delete:privatekey:at_secret@alice', 'AT0003'],
  ['delete:phone@bob', 'AT0016'],
  ['deete:phone@alice', 'AT0003'],
])('%s is refused: %s', async (line, code) => {
  const before = await owner.ask('scan:cl')
  expect(await owner.ask(line)).toMatch(new RegExp(`^error:${code}-[^\n]*\n@alice@$`))
  expect(await owner.ask('scan:cl')).toBe(before)
})

test('an enrollment needs rw on the namespace', async () => {
  const app = await asEnrolled(alice, 'app')
  const reader = await asEnrolled(alice, 'reader')
  expect(await app.ask('delete:dummykey.wavi@alice')).toMatch(/^data:\d+\n/)
  expect(await reader.ask('delete:dummykey.wavi@alice')).toMatch(/^error:AT0009-/)
  expect(await app.ask('delete:dummykey.buzz@alice')).toBe(
    'error:AT0009-UnAuthorized client in request : Connection with enrollment ID app is not authorized to delete ' +
      'key: dummykey.buzz@alice\n@alice@',
  )
  expect(await app.ask('delete:privatekey:at_secret')).toMatch(/^error:AT0009-/)
})

test('the CRAM secret goes with -1, by a full enrollment as well (page 08, 7.3)', async () => {
  const primary = await asPrimary(alice)
  expect(await primary.ask('delete:privatekey:at_secret')).toBe('data:-1\n@alice@')
  expect(await alice.server.cramSecret()).toBeUndefined()
})
