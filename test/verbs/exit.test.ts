import { beforeAll, expect, test } from 'vitest'
import { asOwner, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
beforeAll(async () => {
  alice = await startServer()
})

test('closes without a byte (page 01, 9.1)', async () => {
  for (const client of [await raw(alice), await asOwner(alice)]) {
    const before = client.chunks.length
    client.write('@exit\r\n')
    expect(await client.closed).toBe('')
    expect(client.chunks.length).toBe(before)
  }
})

test('lines before it are answered, lines behind it are not', async () => {
  const client = await raw(alice)
  client.write('noop:0\n@exit\nnoop:0\n')
  expect(await client.closed).toBe('data:ok\n@')
})

test('closes a monitor', async () => {
  const monitor = await asOwner(alice)
  monitor.write('monitor\n@exit\n')
  expect(await monitor.closed).toBe('')
})

test.each(['@EXIT', '@exit:', '@exit now', 'exit', '@'])('%s is no command', async (line) => {
  const client = await raw(alice)
  expect(await client.ask(line)).toBe('error:AT0003-Exception: invalid command\n@')
})
