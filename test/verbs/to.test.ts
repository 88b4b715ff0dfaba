import { beforeAll, expect, test } from 'vitest'
import { asOwner, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
beforeAll(async () => {
  alice = await startServer()
})

const parsed = (reply: string): unknown => JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))

test('answers both public keys as lookup:all: would, null for one that is not there (page 07, section 12)', async () => {
  const client = await raw(alice)
  const all = parsed(await client.ask('lookup:all:signing_publickey@alice'))
  expect(parsed(await client.ask('to:@alice'))).toEqual({ publickey: null, signing_publickey: all })

  const owner = await asOwner(alice)
  await owner.ask('update:public:publickey@alice MIIB')
  const publickey = parsed(await client.ask('lookup:all:publickey@alice'))
  const reply = await client.ask('to:alice')
  expect(parsed(reply)).toEqual({ publickey, signing_publickey: all })
  expect(reply).toMatch(/^data:\{"publickey":\{"key":"public:publickey@alice","data":"MIIB","metaData":\{/)
})

test('a key that has expired is not there', async () => {
  const owner = await asOwner(alice)
  await owner.ask('update:ttl:1000:public:publickey@alice MIIB')
  alice.clock.advance(1001)
  expect(parsed(await owner.ask('to:@alice'))).toMatchObject({ publickey: null })
})

test('another atSign is not hosted here, and the connection stays open (page 07, section 12)', async () => {
  const client = await raw(alice)
  expect(await client.ask('to:@bob')).toBe('error:AT0007-Exception: @bob is not hosted on this atServer\n@')
  expect(await client.ask('noop:0')).toBe('data:ok\n@')
})

test.each(['to', 'to:', 'to @alice', 'to:@alice:x', 'to:@a@alice'])('%s is a syntax error', async (line) => {
  expect(await (await raw(alice)).ask(line)).toMatch(/^error:AT0003-/)
})
