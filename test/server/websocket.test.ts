import { once } from 'node:events'
import { beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { connectOffering, openWebSocket, ownerWebSocket } from '../support/https.ts'
import { type Member, startTestNetwork, type TestNetwork } from '../support/network.ts'

let network: TestNetwork
let alice: Member
beforeAll(async () => {
  network = await startTestNetwork(['@alice'])
  alice = network.member('@alice')
})

const open = async () => {
  const client = await openWebSocket(alice, network)
  expect(await client.next()).toEqual({ text: '@', isBinary: false })
  return client
}

describe('a WebSocket (page 07, 18.3)', () => {
  test('is greeted, and each reply is one text message', async () => {
    const { socket, next } = await open()
    socket.send('noop:0\n')
    expect(await next()).toEqual({ text: 'data:ok\n@', isBinary: false })
    socket.send('bogus\n')
    expect(await next()).toEqual({ text: 'error:AT0003-Exception: invalid command\n@', isBinary: false })
  })

  test('logs in, writes and reads', async () => {
    const owner = await ownerWebSocket(alice, network)
    expect(await owner.ask('update:note.wavi@alice héllo 🛠')).toMatch(/^data:\d+\n@alice@$/)
    expect(await owner.ask('llookup:note.wavi@alice')).toBe('data:héllo 🛠\n@alice@')
    owner.socket.close()
    expect(await owner.closed).toBe(1005)
  })

  test('commands may span messages and share them, as text and as bytes', async () => {
    const { socket, next } = await open()
    socket.send('no')
    socket.send('op')
    socket.send(Buffer.from(':0'))
    socket.send('')
    socket.send('\nbogus\nnoop:0\r\nno')
    socket.send(Buffer.from('op:0\n'))
    const replies = [await next(), await next(), await next(), await next()].map(({ text }) => text)
    const invalid = 'error:AT0003-Exception: invalid command\n@'
    expect(replies).toEqual(['data:ok\n@', invalid, 'data:ok\n@', 'data:ok\n@'])
  })

  test('a character may be cut by the border of a message', async () => {
    const owner = await ownerWebSocket(alice, network)
    const bytes = Buffer.from('update:cut.wavi@alice 🛠\n')
    owner.socket.send(bytes.subarray(0, -3))
    owner.socket.send(bytes.subarray(-3))
    expect((await owner.next()).text).toMatch(/^data:\d+\n@alice@$/)
    expect(await owner.ask('llookup:cut.wavi@alice')).toBe('data:🛠\n@alice@')
  })

  test('a long command takes several messages, its reply is one', async () => {
    const owner = await ownerWebSocket(alice, network)
    const value = 'v'.repeat(limits.webSocketMessageBytes)
    owner.socket.send('update:long.wavi@alice ')
    owner.socket.send(value)
    expect(await owner.ask('')).toMatch(/^data:\d+\n@alice@$/)
    expect(await owner.ask('llookup:long.wavi@alice')).toBe(`data:${value}\n@alice@`)
  })

  test('each line of a monitor is one message', async () => {
    const watching = await ownerWebSocket(alice, network)
    const owner = await ownerWebSocket(alice, network)
    watching.socket.send('monitor\nnoop:0\n')
    expect((await watching.next()).text).toBe('data:ok\n')
    for (const value of ['a', 'b']) await owner.ask(`update:seen.wavi@alice ${value}`)
    for (let count = 0; count < 2; count++) {
      const { text, isBinary } = await watching.next()
      expect([text, isBinary]).toEqual([expect.stringMatching(/^notification: \{[^\n]*\}\n$/), false])
    }
  })

  test('who does not read is answered later, in order, and what it asks meanwhile waits', async () => {
    const reader = await ownerWebSocket(alice, network)
    const owner = await ownerWebSocket(alice, network)
    const lengths = [200_000, 200_001]
    for (const length of lengths) await owner.ask(`update:v${length}@alice ${'x'.repeat(length)}`)
    const asked = Array.from({ length: 100 }, () => lengths).flat()
    reader.socket.pause()
    reader.socket.send(asked.map((length) => `llookup:v${length}@alice\n`).join(''))
    reader.socket.send('update:behind@alice x\n')
    for (let turn = 0; turn < 100; turn++) expect(await owner.ask('llookup:behind@alice')).toMatch(/^error:AT0015-/)
    reader.socket.resume()
    for (const length of asked) expect((await reader.next()).text.length).toBe(length + 'data:\n@alice@'.length)
    expect((await reader.next()).text).toMatch(/^data:\d+\n/)
  })

  test('who sends faster than it is answered is not read', async () => {
    const { socket } = await open()
    const { ask } = await open()
    const commands = 'noop:0\n'.repeat(limits.webSocketMessageBytes / 8)
    socket.send(`noop:${limits.noopMs}\n`)
    for (let count = 0; count < 30; count++) socket.send(commands)
    for (let turn = 0; turn < 500; turn++) expect(await ask('noop:0')).toBe('data:ok\n@')
    expect(socket.bufferedAmount).toBeGreaterThan(0)
    socket.terminate()
    network.clock.advance(limits.noopMs)
  })

  test('closes when the atProtocol does', async () => {
    const leaver = await open()
    leaver.socket.send('@exit\n')
    expect(await leaver.closed).toBe(1000)
    const talker = await open()
    talker.socket.send('x'.repeat(limits.openLineBytes))
    expect((await talker.next()).text).toMatch(/^error:AT0005-/)
    expect(await talker.closed).toBe(1000)
  })

  test('what was asked before a goodbye is done', async () => {
    const owner = await ownerWebSocket(alice, network)
    owner.socket.send('update:first.wavi@alice 1\nupdate:last.wavi@alice 2\n')
    owner.socket.close()
    await owner.closed
    const { ask } = await ownerWebSocket(alice, network)
    let found = ''
    while (!found.startsWith('data:2')) found = await ask('llookup:last.wavi@alice')
  })

  test('a message over the limit closes it with 1009', async () => {
    const { socket, closed } = await open()
    socket.send(Buffer.alloc(limits.webSocketMessageBytes + 1, 'x'))
    expect(await closed).toBe(1009)
  })

  test('a pipeline of requests on it passes the gate like any other', async () => {
    const { ask } = await open()
    expect(await ask('update:x@alice y')).toMatch(/^error:AT0401-/)
    expect(await ask('GET / HTTP/1.1')).toMatch(/^error:AT0003-Exception: HTTP requests must negotiate/)
  })

  test('is opened at /ws and nowhere else', async () => {
    await expect(openWebSocket(alice, network, { path: '/ws/' })).rejects.toThrow('Unexpected server response: 404')
    await expect(openWebSocket(alice, network, { path: '/WS' })).rejects.toThrow('Unexpected server response: 404')
    const { next } = await openWebSocket(alice, network, { path: '/ws?v=1' })
    expect((await next()).text).toBe('@')
  })

  test('a handshake that is none is answered', async () => {
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    client.write('GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    expect(await client.closed).toMatch(/^HTTP\/1\.1 400 /)
  })
})

describe('keeping it alive', () => {
  test('pings are answered by pongs and the connection stays', async () => {
    const { socket, ask } = await open()
    for (let round = 0; round < 3; round++) {
      const pinged = once(socket, 'ping')
      network.clock.advance(limits.webSocketPingMs)
      await pinged
      // Its own ping comes back behind its answer to the server's.
      const answered = once(socket, 'pong')
      socket.ping()
      await answered
    }
    expect(await ask('noop:0')).toBe('data:ok\n@')
  })

  test('who answers none is dropped', async () => {
    const client = await openWebSocket(alice, network, { autoPong: false })
    await client.next()
    const pinged = once(client.socket, 'ping')
    network.clock.advance(limits.webSocketPingMs)
    await pinged
    network.clock.advance(limits.webSocketPingMs)
    expect(await client.closed).toBe(1006)
  })
})

describe('places', () => {
  test('a full pool: the AT0012 bytes as one binary message, then the end', async () => {
    const full = await startTestNetwork(['@alice'], { places: { total: 1 } })
    const member = full.member('@alice')
    const first = await ownerWebSocket(member, full)
    const { next, closed } = await openWebSocket(member, full)
    expect(await next()).toEqual({ text: 'error:AT0012-Inbound connection limit exceeded\n', isBinary: true })
    expect(await closed).toBe(1000)
    expect(await first.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  test('an atServer that stops says goodbye', async () => {
    const stopping = await startTestNetwork(['@alice'])
    const member = stopping.member('@alice')
    const { next, closed } = await openWebSocket(member, stopping)
    await next()
    await member.stop()
    expect(await closed).toBe(1000)
  })
})
