import { beforeAll, expect, test } from 'vitest'
import {
  asEnrolled,
  asOwner,
  asPeer,
  type Client,
  connectServers,
  raw,
  startServer,
  type TestServer,
} from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({ enrollments: { app: { namespaces: { wavi: 'r' } } } })
  owner = await asOwner(alice)
})

test('an unknown id is null (page 04, section 10)', async () => {
  for (const id of ['fccf2ddc-9316-4302-a11b-3dd214857431', 'constructor', ':::', 'a b']) {
    expect(await owner.ask(`notify:status:${id}`)).toBe('data:null\n@alice@')
  }
})

test('what waits is queued until its life is over, then expired', async () => {
  await owner.ask('notify:id:waits:ttln:60000:@nobody:phone.wavi@alice:v')
  expect(await owner.ask('notify:status:waits')).toBe('data:queued\n@alice@')
  alice.clock.advance(60_001)
  expect(await owner.ask('notify:status:waits')).toMatch(/^data:(expired|null)\n@alice@$/)
})

test('what arrived is delivered', async () => {
  await owner.ask('notify:id:arrived:@alice:phone.wavi@alice:v')
  expect(await owner.ask('NOTIFY:STATUS:arrived')).toBe('data:delivered\n@alice@')
})

test('an enrollment may ask about the keys that it may read (page 08, 7.2)', async () => {
  await owner.ask('notify:id:in:@alice:phone.wavi@alice:v')
  await owner.ask('notify:id:out:@alice:phone.buzz@alice:v')
  const app = await asEnrolled(alice, 'app')
  expect(await app.ask('notify:status:in')).toBe('data:delivered\n@alice@')
  expect(await app.ask('notify:status:out')).toMatch(/^error:AT0009-.*key: @alice:phone\.buzz@alice\n@alice@$/)
})

test('nobody else may ask', async () => {
  const bob = await startServer({ atSign: '@bob' })
  connectServers(alice, bob)
  for (const client of [await raw(alice), await asPeer(alice, bob)]) {
    expect(await client.ask('notify:status:arrived')).toMatch(/^error:AT0401-/)
  }
})

test.each(['notify:status', 'notify:status:'])('%s is a syntax error', async (line) => {
  expect(await owner.ask(line)).toMatch(/^error:AT0003-/)
})
