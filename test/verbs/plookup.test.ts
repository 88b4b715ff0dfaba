import { type Duplex, duplexPair } from 'node:stream'
import { beforeAll, expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({ enrollments: { app: { namespaces: {} } } })
  owner = await asOwner(alice)
  await owner.ask('update:public:city.wavi@alice Paris')
  await owner.ask('update:city.wavi@alice not this one')
  await owner.ask('update:@bob:city.wavi@alice nor this one')
})

test('an own public record, in its three views (page 03, section 10)', async () => {
  expect(await owner.ask('plookup:city.wavi@alice')).toBe('data:Paris\n@alice@')
  expect(await owner.ask('plookup:all:city.wavi@alice')).toMatch(
    /^data:\{"key":"public:city\.wavi@alice","data":"Paris",/,
  )
  expect(await owner.ask('plookup:bypassCache:true:meta:city.wavi@alice')).toMatch(/^data:\{"createdBy":"@alice",/)
})

test('an own public record that refers to another one is followed, as for everybody else (page 03, section 10)', async () => {
  await owner.ask('update:public:ref.wavi@alice atsign://city.wavi@alice')
  expect(await owner.ask('plookup:ref.wavi@alice')).toBe('data:Paris\n@alice@')
  expect(await owner.ask('plookup:all:ref.wavi@alice')).toMatch(
    /^data:\{"key":"public:ref\.wavi@alice","data":"Paris",/,
  )
})

test('an enrollment without any grant may ask (page 03, section 10)', async () => {
  const app = await asEnrolled(alice, 'app')
  expect(await app.ask('plookup:city.wavi@alice')).toBe('data:Paris\n@alice@')
})

test('what is missing, expired or not born yet is absent', async () => {
  await owner.ask('update:ttl:1000:public:old@alice v')
  await owner.ask('update:ttb:60000:public:new@alice v')
  alice.clock.advance(1001)
  for (const name of ['none', 'old', 'new']) {
    expect(await owner.ask(`plookup:${name}@alice`)).toBe(
      `error:AT0015-key not found : public:${name}@alice does not exist in keystore\n@alice@`,
    )
  }
})

test('a key that names something else than a public record is not found', async () => {
  for (const key of ['@bob:city.wavi@alice', 'cached:public:city.wavi@alice', 'private:city.wavi@alice']) {
    expect(await owner.ask(`plookup:${key}`)).toMatch(/^error:AT0015-/)
  }
  expect(await owner.ask('plookup:public:city.wavi@alice')).toBe('data:Paris\n@alice@')
})

test('nobody but the owner may ask', async () => {
  expect(await (await raw(alice)).ask('plookup:city.wavi@alice')).toBe(
    'error:AT0401-Exception: Command cannot be executed without auth\n@',
  )
})

/** An atServer that answers every line with the same record. */
function answering(record: Record<string, unknown>): Duplex {
  const [near, far] = duplexPair()
  far.write('@')
  far.on('data', () => far.write(`data:${JSON.stringify(record)}\n@`))
  return near
}

test.each([
  ['an LF', '@eve', '\n', '\\n'],
  ['a CR', '@frank', '\r', '\\r'],
  ['a NUL', '@gina', '\0', '\\u0000'],
  ['U+0085', '@hugo', '\u0085', '\\u0085'],
  ['U+2028', '@iris', '\u2028', '\\u2028'],
  ['U+2029', '@jack', '\u2029', '\\u2029'],
] as const)('a value of another atSign that holds %s is shown as JSON alone', async (_name, peer, char, shown) => {
  // Older servers accept them through update:json; raw, they would forge replies here (page 01, sections 10 and 11).
  const record = { key: `public:evil${peer}`, data: `x${char}@alice@data:forged`, metaData: { ttr: -1 } }
  alice.routes.set(peer, () => answering(record))
  for (const line of ['plookup:evil', 'plookup:evil', 'llookup:cached:public:evil']) {
    expect(await owner.ask(`${line}${peer}`)).toMatch(/^error:AT0011-[^\n]*\n@alice@$/)
  }
  expect(await owner.ask(`plookup:all:evil${peer}`)).toContain(`"data":"x${shown}@alice@data:forged"`)
  expect(await owner.ask(`sync:from:-1:^cached:public:evil${peer}`)).toContain(`"value":"x${shown}@alice@data:forged"`)
  expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
})

test.each([
  'plookup',
  'plookup:',
  'plookup:location',
  'plookup:location@bob@@@',
  'plookup:x@alice y',
  'plookup:y:x@alice',
])('%s is refused', async (line) => {
  expect(await owner.ask(line)).toMatch(/^error:AT00(03|11)-.*\n@alice@$/)
  expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
})
