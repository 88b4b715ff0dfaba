import { beforeAll, expect, test } from 'vitest'
import { raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
beforeAll(async () => {
  alice = await startServer()
})

test('noop:0 is answered at once', async () => {
  expect(await (await raw(alice)).ask('noop:0')).toBe('data:ok\n@')
})

test('it waits for so many milliseconds, at most 5000 (page 01, 9.2)', async () => {
  const client = await raw(alice)
  const before = client.chunks.length
  client.write('noop:5000\n')
  alice.clock.advance(4999)
  expect(await (await raw(alice)).ask('noop:0')).toBe('data:ok\n@')
  expect(client.chunks.length).toBe(before)
  alice.clock.advance(1)
  expect(await client.reply()).toBe('data:ok\n@')
  expect(await client.ask('noop:5001')).toBe(
    'error:AT0022-Exception: noop:<durationInMillis> where the duration maximum is 5000 milliseconds\n@',
  )
})

test.each([
  'noop',
  'noop:',
  'noop 0',
  'noop:x',
  'noop:-1',
  'noop:-0',
  'noop:0x10',
  'noop:1 ms',
  'noop:1:2',
  'noop:1e3',
  `noop:${'9'.repeat(40)}`,
])('%s is a syntax error', async (line) => {
  const client = await raw(alice)
  expect(await client.ask(line)).toMatch(/^error:AT0003-.*\n@$/)
  expect(await client.ask('noop:0')).toBe('data:ok\n@')
})
