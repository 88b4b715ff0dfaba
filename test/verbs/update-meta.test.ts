import { beforeAll, expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({ enrollments: { app: { namespaces: { wavi: 'rw' } } } })
  owner = await asOwner(alice)
})

const meta = async (key: string): Promise<Record<string, unknown>> => {
  const reply = await owner.ask(`llookup:meta:${key}`)
  return JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))
}

test('changes what it names and leaves value and the rest alone', async () => {
  await owner.ask('update:isBinary:true:ivNonce:abc:@bob:phone.wavi@alice v')
  expect(await owner.ask('update:meta:@bob:phone.wavi@alice:ttl:60000')).toMatch(/^data:\d+\n@alice@$/)
  expect(await owner.ask('llookup:@bob:phone.wavi@alice')).toBe('data:v\n@alice@')
  // The reference resets isBinary and isEncrypted here; the specification says that the rest stays (page 03, section 6).
  expect(await meta('@bob:phone.wavi@alice')).toMatchObject({ ttl: 60000, isBinary: true, ivNonce: 'abc', version: 1 })
})

test('its commit is a #', async () => {
  await owner.ask('update:hash.wavi@alice v')
  await owner.ask('update:meta:hash.wavi@alice:ttl:60000')
  expect(await owner.ask('scan:cl hash')).toContain('"operation":"#"')
})

test('without parameters it counts a version (page 03, section 6)', async () => {
  await owner.ask('update:bare.wavi@alice v')
  expect(await owner.ask('update:meta:bare.wavi@alice')).toMatch(/^data:\d+\n/)
  expect(await meta('bare.wavi@alice')).toMatchObject({ version: 1 })
})

test('on a missing key it makes a record without value (page 03, section 6)', async () => {
  expect(await owner.ask('update:meta:nosuch@alice:ttl:100000')).toMatch(/^data:\d+\n/)
  expect(await owner.ask('llookup:nosuch@alice')).toBe('data:null\n@alice@')
  expect(await owner.ask('llookup:all:nosuch@alice')).toMatch(/^data:\{"key":"nosuch@alice","metaData":\{/)
})

test('null clears a text (page 07, 4.2)', async () => {
  await owner.ask('update:encoding:base64:clear.wavi@alice v')
  await owner.ask('update:meta:clear.wavi@alice:encoding:null')
  expect(await meta('clear.wavi@alice')).not.toHaveProperty('encoding')
})

test('with nc there is no commit (page 07, E8)', async () => {
  await owner.ask('update:nc1.wavi@alice v')
  expect(await owner.ask('update:meta:nc:nc1.wavi@alice:ttl:60000')).toBe('data:-1\n@alice@')
  expect(await owner.ask('scan:cl nc1')).toBe('data:[]\n@alice@')
})

test('an enrollment needs rw on the namespace, as for update (page 07, 4.2)', async () => {
  const app = await asEnrolled(alice, 'app')
  expect(await app.ask('update:meta:own.wavi@alice:ttl:1')).toMatch(/^data:\d+\n/)
  expect(await app.ask('update:meta:own.buzz@alice:ttl:1')).toMatch(/^error:AT0009-.* update key: own\.buzz@alice\n/)
})

test.each([
  ['update:meta', 'AT0003'],
  ['update:meta:', 'AT0003'],
  ['update:meta:ttl:123', 'AT0003'],
  ['update:meta:@bob:location@alice:ttl:', 'AT0003'],
  ['update:meta:location@alice v', 'AT0003'],
  ['update:meta:location@alice:bogus:1', 'AT0003'],
  ['update:meta:location:ttl:1', 'AT0003'],
  ['update:meta:@bob:location@kevin:ttl:123', 'AT0016'],
  ['update:meta:cached:public:x@bob:ttl:1', 'AT0016'],
  ['update:meta:privatekey:at_pkam_publickey:ttl:1', 'AT0003'],
  ['update:meta:privatekey:at_pkam_publickey', 'AT0016'],
  ['update:meta:public:signing_publickey@alice:ttl:1', 'AT0009'],
])('%s: %s', async (line, code) => {
  const before = await owner.ask('scan:cl')
  expect(await owner.ask(line)).toMatch(new RegExp(`^error:${code}-[^\n]*\n@alice@$`))
  expect(await owner.ask('scan:cl')).toBe(before)
})
