import { beforeAll, describe, expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let app: Client
let other: Client
let manager: Client
let owner: Client
beforeAll(async () => {
  alice = await startServer({
    enrollments: {
      app: { namespaces: { wavi: 'rw' } },
      other: { namespaces: { buzz: 'r' } },
      manager: { namespaces: { '*': 'rw', __manage: 'rw' } },
    },
  })
  app = await asEnrolled(alice, 'app')
  other = await asEnrolled(alice, 'other')
  manager = await asEnrolled(alice, 'manager')
  owner = await asOwner(alice)
})
const stored = 'data:-1\n@alice@'

test('a key is put, listed, read and deleted by the enrollment that put it (page 02, section 9)', async () => {
  const cases: [string, string, string][] = [
    ['public', '', 'public:encryption_1.__public_keys.__global@alice'],
    ['private', ':appName:wavi:deviceName:pixel', 'private:wavi.pixel.encryption_1.__private_keys.__global@alice'],
    ['self', ':appName:wavi:deviceName:pixel', 'wavi.pixel.encryption_1.__self_keys.__global@alice'],
  ]
  for (const [kind, device, name] of cases) {
    const line = `keys:put:${kind}:namespace:__global${device}:keyType:rsa2048:encryptionKeyName:enc:keyName:encryption_1 MIIB: x`
    expect(await app.ask(line)).toBe(stored)
    expect(await app.ask(`keys:get:${kind}`)).toBe(`data:["${name}"]\n@alice@`)
    expect(await app.ask(`keys:get:keyName:${name.toUpperCase()}`)).toBe(
      'data:{"value":"MIIB: x","keyType":"rsa2048","enrollmentId":"app","encryptionKeyName":"enc"}\n@alice@',
    )
    expect(await other.ask(`keys:get:${kind}`)).toBe('data:[]\n@alice@')
    expect(await other.ask(`keys:get:keyName:${name}`)).toBe(
      `error:AT0009-UnAuthorized client in request : Enrollment other is not authorized to access key ${name}\n@alice@`,
    )
    expect(await other.ask(`keys:delete:keyName:${name}`)).toBe(
      `error:AT0009-UnAuthorized client in request : Enrollment other is not authorized to delete key ${name}\n@alice@`,
    )
    expect(await app.ask(`keys:delete:keyName:${name}`)).toBe(stored)
    const gone = `error:AT0015-key not found : key ${name} not found in keystore\n@alice@`
    expect(await app.ask(`keys:get:keyName:${name}`)).toBe(gone)
    expect(await app.ask(`keys:delete:keyName:${name}`)).toBe(gone)
  }
  expect(await owner.ask('scan:cl encryption_1')).toBe('data:[]\n@alice@')
})

test('nobody overwrites the key of another enrollment', async () => {
  const line = 'keys:put:public:keyName:taken'
  expect(await app.ask(`${line} mine`)).toBe(stored)
  expect(await other.ask(`${line} theirs`)).toMatch(/^error:AT0009-/)
  expect(await app.ask(`${line} mine again`)).toBe(stored)
  expect(await app.ask('keys:get:keyName:public:taken.__public_keys.__global@alice')).toContain('"value":"mine again"')
})

describe('a namespace', () => {
  test.each([
    ['app', '__global', 'data:'],
    ['app', 'wavi', 'data:'],
    ['app', 'buzz', 'error:AT0009'],
    ['other', 'buzz', 'error:AT0009'],
    ['app', '__manage', 'error:AT0009'],
    ['manager', '__manage', 'data:'],
    ['manager', 'buzz', 'data:'],
  ])('%s may put into %s: %s', async (who, namespace, start) => {
    const client = { app, other, manager }[who] ?? app
    const reply = await client.ask(`keys:put:public:namespace:${namespace}:keyName:${who}_${namespace} v`)
    expect(reply.slice(0, start.length)).toBe(start)
  })
})

test('the two keys of an approval are read by the enrollment that they are for', async () => {
  for (const kind of ['enc_private', 'self_enc']) {
    await owner.ask(`update:app.default_${kind}_key.__manage@alice {"value":"${kind}"}`)
  }
  expect(await app.ask('keys:get:keyName:app.default_enc_private_key.__manage@alice')).toBe(
    'data:{"value":"enc_private"}\n@alice@',
  )
  expect(await app.ask('keys:get:keyName:app.default_self_enc_key.__manage@alice')).toBe(
    'data:{"value":"self_enc"}\n@alice@',
  )
  expect(await app.ask('keys:get:private')).toBe('data:["app.default_enc_private_key.__manage@alice"]\n@alice@')
  expect(await app.ask('keys:get:self')).toBe('data:["app.default_self_enc_key.__manage@alice"]\n@alice@')
  expect(await other.ask('keys:get:keyName:app.default_enc_private_key.__manage@alice')).toMatch(/^error:AT0009-/)
})

test('records that keys did not write are none of its business', async () => {
  await owner.ask('update:diary.wavi@alice {"enrollmentId":7}')
  await owner.ask('update:plain.wavi@alice text')
  for (const name of ['diary.wavi@alice', 'plain.wavi@alice', 'public:signing_publickey@alice']) {
    expect(await app.ask(`keys:get:keyName:${name}`)).toMatch(/^error:AT0009-/)
    expect(await app.ask(`keys:delete:keyName:${name}`)).toMatch(/^error:AT0009-/)
  }
})

test('it takes an enrollment', async () => {
  expect(await owner.ask('keys:get:self')).toBe(
    'error:AT0011-Internal server exception : Keys verb cannot be accessed without an enrollmentId\n@alice@',
  )
  expect(await (await raw(alice)).ask('keys:get:self')).toBe(
    'error:AT0401-Exception: Command cannot be executed without auth\n@',
  )
})

test.each([
  ...[
    'keys',
    'keys:',
    'keys:get',
    'keys:bogus:self',
    'keys:put:self',
    'keys:put:public:keyName:x',
    'keys:put:keyName:x v',
  ],
  ...['keys:put:self:keyName:x v', 'keys:put:public:keyName:a:b v', 'keys:delete:self', 'keys:get:self:bogus:1'],
  ...['keys:put:public:namespace:a.b:keyName:x v'],
])('%s is a syntax error', async (line) => {
  expect(await app.ask(line)).toMatch(/^error:AT0003-[^\n]*\n@alice@$/)
})
