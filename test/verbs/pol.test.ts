import { beforeAll, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { asPeer, connectServers, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let bob: TestServer
beforeAll(async () => {
  alice = await startServer()
  bob = await startServer({ atSign: '@bob' })
  connectServers(alice, bob)
})

const outOfOrder = "error:AT0011-Exception: You must execute a 'from:' command before you may run the pol command\n@"

test.each([
  ['without from', undefined],
  ['after a from by the owner', 'from:@alice'],
])('%s it is out of order, and the connection stays open', async (_, before) => {
  const client = await raw(alice)
  if (before !== undefined) await client.ask(before)
  expect(await client.ask('pol')).toBe(outOfOrder)
  expect(await client.ask('noop:0')).toBe('data:ok\n@')
})

test('an atSign that has published nothing is refused, and its challenge is spent (page 08, 11.1)', async () => {
  const client = await raw(alice)
  await client.ask('from:@bob')
  expect(await client.ask('pol')).toBe('error:AT0011-Exception: Unable to verify signature\n@')
  expect(await client.ask('pol')).toBe(outOfOrder)
})

test('an atSign that the directory does not know is refused with AT0007', async () => {
  const client = await raw(alice)
  await client.ask('from:@nobody')
  expect(await client.ask('pol')).toMatch(/^error:AT0007-Exception: Unable to find secondary address.*\n@$/)
})

test('a challenge older than sixty seconds is refused without asking anybody', async () => {
  const client = await raw(alice)
  await client.ask('from:@bob')
  alice.clock.advance(limits.challengeMs + 1)
  expect(await client.ask('pol')).toBe('error:AT0401-Exception: Pol Authentication Failed\n@')
})

test('nobody rides on the proof of another session', async () => {
  const peer = await asPeer(alice, bob)
  const client = await raw(alice)
  await client.ask('from:@bob')
  expect(await client.ask('pol')).toMatch(/^error:AT0011-/)
  expect(await peer.ask('noop:0')).toBe('data:ok\n@bob@')
})

test.each(['pol:', 'pol x', 'pol:@bob'])('%s is a syntax error', async (line) => {
  const client = await raw(alice)
  await client.ask('from:@bob')
  expect(await client.ask(line)).toMatch(/^error:AT0003-/)
})

test('success is the prompt and no other byte (page 01, section 4)', async () => {
  const peer = await asPeer(alice, bob)
  expect(peer.chunks.at(-1)).toBe('@bob@')
})

test('an error to a peer ends in a plain prompt, its next reply in its own (page 01, section 2)', async () => {
  const peer = await asPeer(alice, bob)
  expect(await peer.ask('llookup:x@alice')).toBe('error:AT0401-Exception: Command cannot be executed without auth\n@')
  expect(await peer.ask('noop:0')).toBe('data:ok\n@bob@')
})
