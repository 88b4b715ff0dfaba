import { beforeAll, describe, expect, test, vi } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { until } from '../support/network.ts'
import { recorder } from '../support/recorder.ts'
import {
  asEnrolled,
  asOwner,
  asPeer,
  type Client,
  clientOf,
  connectServers,
  raw,
  startServer,
  type TestServer,
} from '../support/server.ts'

let alice: TestServer
beforeAll(async () => {
  alice = await startServer({ enrollments: { app: { namespaces: { wavi: 'rw' } } } })
})

const origin = { remoteAddress: 'test', certificate: undefined }
const ok = 'data:ok\n@'
const invalid = 'error:AT0003-Exception: invalid command\n@'

/** Turns of the event loop, for what must not happen. */
async function turns(count = 50): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate)
}

/** Writes chunks until the other side takes no more. @returns how many were taken */
async function writeUntilFull(client: Client, chunk: string, most: number): Promise<number> {
  for (let taken = 0; taken < most; taken++) {
    const written = new Promise<boolean>((resolve) => client.stream.write(chunk, () => resolve(true)))
    if (!(await Promise.race([written, turns(500).then(() => false)]))) return taken
  }
  return most
}

describe('the bytes of a reply', () => {
  test('the greeting is one byte in a write of its own, whatever is there to be answered (page 01, section 2)', async () => {
    const { stream, writes, send, until } = recorder()
    send('info\nnoop:0\n')
    // As a listener does it: outside of any promise, where Node runs what is due in another order.
    setImmediate(() => alice.server.handle(stream, origin))
    expect(await until('data:ok\n@')).toMatch(/^@data:\{.*\}\n@data:ok\n@$/)
    expect(String(writes[0])).toBe('@')
    stream.destroy()
  })

  test('text, LF and prompt are one write (page 01, section 11)', async () => {
    const { stream, writes, send, until } = recorder()
    alice.server.handle(stream, origin)
    await until('@')
    for (const line of ['noop:0', 'bogus', 'scan', 'from:@alice', 'to:@bob', `lookup:${'x'.repeat(9_000)}`]) {
      const before = writes.length
      send(`${line}\n`)
      await until('@')
      expect(writes.slice(before).map(String)).toEqual([expect.stringMatching(/^(data|error):[^\n]+\n@$/)])
    }
    stream.destroy()
  })

  test('at_c’s CR LF is answered with no @ but the prompt (page 05, 2.2)', async () => {
    const client = await raw(alice)
    client.write('\r\n')
    const reply = await client.reply()
    expect(reply).toBe(invalid)
    expect(reply.indexOf('@')).toBe(reply.length - 1)
  })
})

describe('lines', () => {
  test('that come together are answered one at a time, in their order', async () => {
    const client = await raw(alice)
    client.write('noop:100\nnoop:0\nbogus\nto:@bob\nnoop:0\n')
    await turns()
    expect(client.chunks).toEqual(['@'])
    alice.clock.advance(100)
    const starts = ['data:ok', 'data:ok', 'error:AT0003', 'error:AT0007', 'data:ok']
    for (const start of starts) expect((await client.reply()).slice(0, start.length)).toBe(start)
  })

  test('end at every LF (page 07, section 1)', async () => {
    const client = await raw(alice)
    client.write('noop:0\nbogus\nno')
    client.write('op:0\n')
    expect([await client.reply(), await client.reply(), await client.reply()]).toEqual([ok, invalid, ok])
  })

  test('may end in CR LF', async () => {
    const client = await raw(alice)
    client.write('noop:0\r\n \t noop:0 \r\n')
    expect([await client.reply(), await client.reply()]).toEqual([ok, ok])
  })

  test('that are blank and alone are answered, each (page 01, section 3)', async () => {
    const client = await raw(alice)
    for (const line of ['\n', '\r\n', '  \n', '\u0085\n']) {
      client.write(line)
      expect(await client.reply()).toBe(invalid)
    }
  })

  test('that are blank and come behind a command in one write are not (page 05, 2.3)', async () => {
    const client = await raw(alice)
    client.write('noop:0\n\n')
    expect(await client.reply()).toBe(ok)
    client.write('noop:0\r\n\r\nnoop:0\n\n\n')
    expect([await client.reply(), await client.reply()]).toEqual([ok, ok])
    expect(await client.ask('bogus')).toBe(invalid)
  })

  test('may be cut anywhere', async () => {
    const client = await raw(alice)
    const line = Buffer.from('from:@🦄:clientConfig:{"version":"1.0.0"}\r\n')
    for (let cut = 1; cut < line.length; cut++) {
      client.write(line.subarray(0, cut))
      await turns(1)
      client.write(line.subarray(cut))
      expect(await client.reply()).toMatch(/^data:proof:_[0-9a-f-]{36}@🦄:pol1\..*\n@$/u)
    }
  })

  test('that are not UTF-8 are answered, and the connection is kept (page 01, section 3)', async () => {
    const client = await raw(alice)
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0x66, 0xc0, 0xaf]]) {
      client.write(Buffer.from([...bytes, 10]))
      expect(await client.reply()).toBe('error:AT0003-Exception: the line is not valid UTF-8\n@')
    }
    expect(await client.ask('noop:0')).toBe(ok)
  })

  test('behind one that closes the connection are dropped', async () => {
    const client = await raw(alice)
    client.write(`${'x'.repeat(limits.openLineBytes)}\nnoop:0\n`)
    expect(await client.closed).toMatch(/^error:AT0005-[^\n]*\n@$/)
  })
})

describe('a line that is too long', () => {
  const tooLong =
    'InboundBuffer overflow: server received request which exceeded the buffer size limit. Terminating the connection.'

  test('16 KiB on an open session: AT0005, and the connection closes', async () => {
    const client = await raw(alice)
    const longest = 'x'.repeat(limits.openLineBytes - 1)
    expect(await client.ask(longest)).toBe(invalid)
    client.write(`${longest}y`)
    expect(await client.closed).toBe(`error:AT0005-Exception: ${tooLong}\n@`)
  })

  test('10,240,000 bytes on an owner session (page 01, 6.1)', async () => {
    const owner = await asOwner(await startServer())
    const longest = 'x'.repeat(limits.lineBytes - 1)
    expect(await owner.ask(longest)).toBe('error:AT0003-Invalid syntax : invalid command\n@alice@')
    owner.write(`${longest}y`)
    expect(await owner.closed).toBe(`error:AT0005-Buffer limit exceeded : ${tooLong}\n@alice@`)
  })

  test('a peer may send long ones, and one who lost a login may not', async () => {
    const bob = await startServer({ atSign: '@bob' })
    connectServers(alice, bob)
    const line = `notify:@alice:long.wavi@bob:${'x'.repeat(2 * limits.openLineBytes)}`
    const peer = await asPeer(alice, bob)
    expect(await peer.ask(line)).toBe('data:success\n@bob@')
    await peer.ask('from:@bob')
    peer.write(`${line}\n`)
    expect(await peer.closed).toMatch(/^error:AT0005-Exception: /)
  })

  test('is told to one who goes on sending and reads later', async () => {
    const { stream, send, until } = recorder()
    alice.server.handle(stream, origin)
    await until('@')
    send('x'.repeat(limits.openLineBytes))
    await until(`${tooLong}\n@`)
    send('x'.repeat(1_000_000))
    await turns()
    expect(stream.destroyed).toBe(false)
    stream.push(null)
    await turns()
    expect(stream.destroyed).toBe(true)
  })
})

describe('a client', () => {
  test('that has closed its side still gets its answers', async () => {
    const client = await raw(alice)
    client.stream.end('noop:50\nbogus\nnoop:0\n')
    await turns()
    alice.clock.advance(50)
    expect(await client.closed).toBe(`${ok}${invalid}${ok}`)
  })

  test.each(['end', 'reset'])('that goes away in the middle of a command disturbs nobody: %s', async (how) => {
    const { stream, send, until } = recorder()
    alice.server.handle(stream, origin)
    await until('@')
    send('noop:5000\nnoop:0\n')
    await turns()
    stream.destroy(how === 'end' ? undefined : new Error('ECONNRESET'))
    alice.clock.advance(5_000)
    expect(await (await raw(alice)).ask('noop:0')).toBe(ok)
  })

  test('whose command is slow delays no other', async () => {
    const [slow, quick] = [await raw(alice), await raw(alice)]
    slow.write('noop:5000\n')
    for (let i = 0; i < 20; i++) expect(await quick.ask('noop:0')).toBe(ok)
    expect(slow.chunks).toEqual(['@'])
    alice.clock.advance(5_000)
    expect(await slow.reply()).toBe(ok)
  })

  test('waits for no command longer than a minute, and lives on', async () => {
    alice.routes.set('@mute', () => new Promise(() => {}))
    const owner = await asEnrolled(alice, 'app')
    owner.write('lookup:phone.wavi@mute\nnoop:0\n')
    await turns()
    alice.clock.advance(limits.commandMs)
    expect(await owner.reply()).toMatch(
      /^error:AT0023-Timeout waiting for response : lookup took longer than 60000 ms\n@alice@$/,
    )
    expect(await owner.reply()).toBe('data:ok\n@alice@')
  })

  test('that has proved nothing and sends a hundred bad lines in a row is sent away', async () => {
    const client = await raw(alice)
    for (let i = 1; i < limits.strangerErrors; i++) await client.ask('bogus')
    expect(await client.ask('noop:0')).toBe(ok)
    for (let i = 1; i < limits.strangerErrors; i++) await client.ask('bogus')
    client.write('bogus\nnoop:0\n')
    expect(await client.closed).toBe(invalid)
  })
})

describe('a client that does not read', () => {
  test('is not read from either, and gets every answer once it reads', async () => {
    const owner = await asEnrolled(alice, 'app')
    await owner.ask(`update:big.wavi@alice ${'x'.repeat(50_000)}`)
    owner.stream.pause()
    const perChunk = 10
    const chunk = 'llookup:big.wavi@alice\n'.repeat(perChunk)
    const taken = await writeUntilFull(owner, chunk, 300)
    // Once 1 MiB of answers wait, a thousand lines may wait as well; then nothing is read any more.
    expect(taken * perChunk).toBeLessThan(1_200)
    owner.stream.resume()
    for (let i = 0; i < taken * perChunk; i++) expect((await owner.reply()).length).toBe(50_013)
  })

  test('who is not the owner has few lines wait while a command runs', async () => {
    const dave = await startServer({ atSign: '@dave' })
    connectServers(alice, dave)
    const line = `${'x'.repeat(8_191)}\n`
    for (const client of [await raw(alice), await asPeer(alice, dave)]) {
      client.write('noop:5000\n')
      const taken = await writeUntilFull(client, line, 200)
      expect(taken * line.length).toBeLessThan(2 * limits.pipelinedCharsOfOthers)
      alice.clock.advance(5_000)
      expect(await client.reply()).toMatch(/^data:ok\n/)
      for (let i = 0; i < taken; i++) expect(await client.reply()).toMatch(/^error:AT0003-/)
    }
  })

  test('does not fill the memory with lines while a command runs', async () => {
    const owner = await asEnrolled(alice, 'app')
    owner.write('noop:5000\n')
    const line = `update:lines.wavi@alice ${'x'.repeat(200_000)}\n`
    const taken = await writeUntilFull(owner, line, 100)
    expect(taken).toBeLessThan(20)
    alice.clock.advance(5_000)
    expect(await owner.reply()).toBe('data:ok\n@alice@')
    for (let i = 0; i < taken; i++) expect(await owner.reply()).toMatch(/^data:\d+\n/)
  })

  test('leaves no timer behind when it goes while its command runs', async () => {
    const server = await startServer()
    const client = await raw(server)
    client.write('noop:1000\n')
    await turns()
    const after = vi.spyOn(server.clock, 'after')
    client.stream.destroy()
    await turns()
    server.clock.advance(1_000)
    await turns()
    expect(after.mock.calls.map(([ms]) => ms)).not.toContain(limits.lingerMs)
  })

  test('is closed when it has been idle, with its answers still unread', async () => {
    const server = await startServer()
    const silent = await raw(server, '192.0.2.1')
    silent.stream.pause()
    await writeUntilFull(silent, 'info\n'.repeat(500), 60)
    server.clock.advance(limits.openIdleMs + 30_000)
    server.clock.advance(limits.lingerMs)
    await turns()
    expect(await (await asOwner(server)).ask('stats:16')).toContain('"total":1,')
  })
})

describe('errors', () => {
  const lines = [
    ...[
      '',
      'bogus',
      'x'.repeat(70),
      '\u0000',
      'data:x',
      'from:@a\u2028b',
      'from:@data:x',
      'lookup:data:x',
      'scan data:(',
    ],
    ...[
      'scan (\t',
      'to:@data',
      'lookup:metadata:x@alice',
      'pkam:enrollmentId:data:x',
      'lookup:a\rb@alice',
      'noop:\u0085x',
    ],
    ...[
      'info:data:',
      'update:x@alice v',
      'from:@a:clientConfig:data:',
      '@',
      ':::',
      '🦄',
      'pol',
      'lookup:\u001b[31m@alice',
    ],
  ]

  test.each(lines)('%j is answered in one short line without data: (page 01, 5.5)', async (line) => {
    for (const config of ['', '{"version":"3.0.57"}']) {
      const client = await raw(alice)
      if (config !== '') await client.ask(`from:@alice:clientConfig:${config}`)
      const reply = await client.ask(line)
      expect(reply).toMatch(/^error:[^\n\r\u0085\u2028\u2029\u0000-\u001f]*\n@$/u)
      expect(reply).not.toContain('data:')
      expect(reply.slice('error:'.length)).toContain(':')
      expect(Buffer.byteLength(reply)).toBeLessThan(256)
      expect(await client.ask('noop:0')).toBe(ok)
    }
  })

  test('are JSON for clients above 3.0.37 alone (page 01, 5.3)', async () => {
    const owner = await asEnrolled(alice, 'app')
    const plain = 'error:AT0015-key not found : nokey.wavi@alice does not exist in keystore\n@alice@'
    expect(await owner.ask('llookup:nokey.wavi@alice')).toBe(plain)
    await owner.ask('from:@alice:clientConfig:{"version":"3.0.38"}')
    expect(await owner.ask('llookup:nokey.wavi@alice')).toBe(
      'error:{"errorCode":"AT0015","errorDescription":"key not found : nokey.wavi@alice does not exist in keystore"}\n@alice@',
    )
    await owner.ask('from:@alice:clientConfig:{"version":"3.0.37"}')
    expect(await owner.ask('llookup:nokey.wavi@alice')).toBe(plain)
  })
})

describe('a server that stops', () => {
  test('answers the commands under way and closes every connection', async () => {
    const server = await startServer()
    const [busy, idle] = [await raw(server), await asOwner(server)]
    busy.write('noop:1000\nnoop:0\n')
    await turns()
    const closing = server.server.close()
    server.clock.advance(1_000)
    expect(await busy.closed).toBe(ok)
    expect(await idle.closed).toBe('')
    await closing
    expect(clientOf(server.server.connect()).chunks).toEqual([])
  })

  test('does not wait for ever for one that does not read', async () => {
    const server = await startServer()
    const silent = await raw(server)
    silent.stream.pause()
    await writeUntilFull(silent, 'info\n'.repeat(500), 60)
    const closing = server.server.close()
    server.clock.advance(5_000)
    await closing
  })
})

describe('a monitor that asks for a long history', () => {
  const size = 60_000
  const count = 100

  test('gets all of it when it begins to read late, and is closed when it stands still', async () => {
    const server = await startServer()
    const owner = await asOwner(server)
    const value = 'v'.repeat(size)
    for (let index = 0; index < count; index++) {
      server.clock.advance(1)
      await owner.ask(`notify:id:n${index}:ttln:86400000:@alice:x.wavi@alice:${value}`)
    }
    const [reading, still] = [await asOwner(server), await asOwner(server)]
    for (const client of [reading, still]) {
      client.stream.pause()
      client.write('monitor:strict:0\n')
    }
    await turns(20_000)
    reading.stream.resume()
    for (let index = 0; index < count; index++) {
      expect((await reading.line()).slice(0, 30)).toContain(`"id":"n${index}"`)
      // Time passes while it reads.
      server.clock.advance(1_000)
    }
    server.clock.advance(2 * limits.monitorStillMs)
    await until(async () => (await owner.ask('stats:1')).includes('"value":"2"'))
    reading.write('noop:0\n')
    expect(await reading.line()).toBe('data:ok\n')
  })

  test('and goes away in the middle of it is not said to stand still', async () => {
    const warnings: string[] = []
    const server = await startServer({ onLog: (level, message) => level === 'warn' && warnings.push(message) })
    const owner = await asOwner(server)
    const value = 'v'.repeat(size)
    for (let index = 0; index < count / 2; index++) {
      server.clock.advance(1)
      await owner.ask(`notify:id:n${index}:ttln:86400000:@alice:x.wavi@alice:${value}`)
    }
    const monitor = await asOwner(server)
    monitor.stream.pause()
    monitor.write('monitor:strict:0\n')
    await turns(20_000)
    monitor.stream.destroy()
    await turns()
    server.clock.advance(2 * limits.monitorStillMs)
    expect(warnings).toEqual([])
  })
})
