import { beforeAll, describe, expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({ enrollments: { app: { namespaces: { wavi: 'r' } } } })
  owner = await asOwner(alice)
  await owner.ask('update:@bob:pin.wavi@alice Y2lwaGVy')
  await owner.ask('update:public:city.buzz@alice Paris')
  await owner.ask('update:mobile.buzz@alice 1')
})

const absent = (key: string): string => `error:AT0015-key not found : ${key} does not exist in keystore\n@alice@`

test('the value as it is stored', async () => {
  expect(await owner.ask('llookup:@bob:pin.wavi@alice')).toBe('data:Y2lwaGVy\n@alice@')
  expect(await owner.ask('LLookup:PUBLIC:City.Buzz@Al.ice')).toBe('data:Paris\n@alice@')
})

test('meta is the metadata, all is key, data and metaData in this order (page 03, section 8)', async () => {
  const metaData =
    '{"createdBy":"@alice","updatedBy":"@alice","createdAt":"2026-01-31 10:00:00.000Z","updatedAt":' +
    '"2026-01-31 10:00:00.000Z","status":"active","version":0,"isBinary":false,"isEncrypted":false}'
  expect(await owner.ask('llookup:meta:@bob:pin.wavi@alice')).toBe(`data:${metaData}\n@alice@`)
  expect(await owner.ask('llookup:ALL:@bob:pin.wavi@alice')).toBe(
    `data:{"key":"@bob:pin.wavi@alice","data":"Y2lwaGVy","metaData":${metaData}}\n@alice@`,
  )
})

test('a record is one key and no other', async () => {
  for (const key of ['pin.wavi@alice', '@alice:pin.wavi@alice', 'public:pin.wavi@alice', 'city.buzz@alice']) {
    expect(await owner.ask(`llookup:${key}`)).toBe(absent(key))
  }
})

test('a reference is given back as it is (page 03, section 8)', async () => {
  await owner.ask('update:public:ref@alice atsign://city.buzz@alice')
  expect(await owner.ask('llookup:public:ref@alice')).toBe('data:atsign://city.buzz@alice\n@alice@')
})

describe('a record that is expired or not born yet is absent (page 06, section 5)', () => {
  test.each(['', 'meta:', 'all:'])('llookup:%s…', async (view) => {
    await owner.ask('update:ttl:1000:brief.wavi@alice v')
    await owner.ask('update:ttb:1000:later.wavi@alice v')
    expect(await owner.ask(`llookup:${view}brief.wavi@alice`)).toMatch(/^data:/)
    expect(await owner.ask(`llookup:${view}later.wavi@alice`)).toBe(absent('later.wavi@alice'))
    alice.clock.advance(1000)
    expect(await owner.ask(`llookup:${view}brief.wavi@alice`)).toMatch(/^data:/)
    expect(await owner.ask(`llookup:${view}later.wavi@alice`)).toMatch(/^data:/)
    alice.clock.advance(1)
    expect(await owner.ask(`llookup:${view}brief.wavi@alice`)).toBe(absent('brief.wavi@alice'))
  })
})

test('an enrollment reads its namespaces and every public record', async () => {
  const app = await asEnrolled(alice, 'app')
  expect(await app.ask('llookup:@bob:pin.wavi@alice')).toBe('data:Y2lwaGVy\n@alice@')
  expect(await app.ask('llookup:public:city.buzz@alice')).toBe('data:Paris\n@alice@')
  expect(await app.ask('llookup:mobile.buzz@alice')).toBe(
    'error:AT0009-UnAuthorized client in request : Connection with enrollment ID app is not authorized to llookup ' +
      'key: mobile.buzz@alice\n@alice@',
  )
})

test('nobody but the owner may ask', async () => {
  const client = await raw(alice)
  expect(await client.ask('llookup:public:city.buzz@alice')).toMatch(/^error:AT0401-/)
  await client.ask('from:@alice')
  expect(await client.ask('llookup:bad syntax here')).toMatch(/^error:AT0401-/)
})

test.each([
  'llookup',
  'llookup:',
  'llookup:location',
  'llookup:all',
  'llookup:all:',
  'llookup:a@alice x',
  'llookup:x:a@alice',
])('%s is a syntax error', async (line) => {
  expect(await owner.ask(line)).toMatch(/^error:AT0003-Invalid syntax : Invalid syntax in llookup: .*e\.g\. llookup:/)
})

test.each([
  'llookup:a,b@alice',
  'llookup:public:public:x@alice',
  'llookup:@bob:@carol:x@alice',
  `llookup:${'a'.repeat(300)}@alice`,
])('%s is no key', async (line) => {
  expect(await owner.ask(line)).toMatch(/^error:AT0016-Invalid key : .*\n@alice@$/)
})
