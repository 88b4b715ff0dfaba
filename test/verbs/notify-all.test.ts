import { beforeAll, expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({ enrollments: { app: { namespaces: { wavi: 'rw' } } } })
  owner = await asOwner(alice)
})

async function idsOf(line: string): Promise<Record<string, string>> {
  const reply = await owner.ask(line)
  // The blank belongs to it (page 04, E26).
  expect(reply).toMatch(/^data: \{.*\}\n@alice@$/)
  return JSON.parse(reply.slice('data: '.length, reply.indexOf('\n')))
}

test('one notification for each atSign, however it is spelt, as plain (page 04, section 8)', async () => {
  const ids = await idsOf('notify:all:@bob,@COL.IN,@bob,@alice:whatsapp@alice:+91-9')
  expect(Object.keys(ids)).toEqual(['@bob', '@colin', '@alice'])
  const colin = await owner.ask(`notify:fetch:${ids['@colin']}`)
  expect(colin).toContain('"notification":"@colin:whatsapp@alice"')
  expect(colin).toContain('"atValue":"+91-9"')
  expect(colin).toContain('isEncrypted: false')
  expect(await owner.ask(`notify:status:${ids['@alice']}`)).toBe('data:delivered\n@alice@')
})

test('its parameters are read, and a name without owner is one’s own', async () => {
  const ids = await idsOf('notify:all:delete:messageType:key:ttl:60000:ttb:1:ttr:-1:ccd:true:@bob:phone.wavi')
  const bob = await owner.ask(`notify:fetch:${ids['@bob']}`)
  expect(bob).toContain('"notification":"@bob:phone.wavi@alice"')
  expect(bob).toContain('"opType":"OperationType.delete"')
  expect(bob).toContain('ttl: 60000, ttb: 1, ttr: -1, ccd: true')
})

test('a text goes as it is', async () => {
  const ids = await idsOf('notify:all:messageType:text:@bob:Hello: there a@b')
  expect(await owner.ask(`notify:fetch:${ids['@bob']}`)).toContain('"notification":"@bob:Hello: there a@b"')
})

test.each([
  ['notify:all', 'AT0003'],
  ['notify:all:@bob', 'AT0003'],
  ['notify:all::x@alice', 'AT0003'],
  ['notify:all:bob,carol:x@alice:v', 'AT0003'],
  ['notify:all:@bob:x.wavi@colin:v', 'AT0009'],
  ['notify:all:@bob:a,b@alice:v', 'AT0016'],
])('%s: %s, and nothing is stored', async (line, code) => {
  const total = async () => /\\"total\\":\d+/.exec(await owner.ask('stats:11'))?.[0]
  const before = await total()
  expect(await owner.ask(line)).toMatch(new RegExp(`^error:${code}-[^\n]*\n@alice@$`))
  expect(await total()).toBe(before)
})

test('it is for the owner, and for enrollments that may write the key', async () => {
  expect(await (await raw(alice)).ask('notify:all:@bob:x.wavi@alice:v')).toMatch(/^error:AT0401-/)
  const app = await asEnrolled(alice, 'app')
  expect(await app.ask('notify:all:@bob:x.wavi@alice:v')).toMatch(/^data: /)
  expect(await app.ask('notify:all:@bob:x.buzz@alice:v')).toMatch(/^error:AT0009-/)
})
