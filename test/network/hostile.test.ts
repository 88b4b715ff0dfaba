import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { beforeEach, describe, expect, it } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { limits } from '../../src/core/limits.ts'
import { startAlice } from '../support/alice.ts'
import { type Answer, type Member, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

const mega = 1_000_000
const full = expect.stringMatching(/^error:AT0005-Exception: [^\n]*\n@$/)

let network: TestNetwork
let alice: Member
let owner: Client

beforeEach(async () => {
  ;({ network, alice, owner } = await startAlice())
})

const sessionOf = async (atSign: AtSign): Promise<Client> => (await network.script(atSign)).session('@alice')

/** Bytes that are held for lines of peers. */
const held = async (): Promise<number> => (await alice.server.status()).peerLineBytes.commands

/** Sends as much as the other side takes, until it closes. */
async function pour(client: Client, bytes: number): Promise<void> {
  const piece = Buffer.alloc(mega, 'x')
  for (let sent = 0; sent < bytes && !client.stream.destroyed && !client.stream.writableEnded; sent += mega) {
    if (!client.stream.write(piece)) await Promise.race([once(client.stream, 'drain'), client.closed])
  }
}

const warnings = (message: string): unknown[] =>
  alice.logs.filter((entry) => entry.level === 'warn' && entry.message === message).map(({ details }) => details)

/** How often a peer whose answers cannot be used was named. */
const named = (peer: AtSign): number =>
  alice.logs.filter(
    ({ message, details }) =>
      details['peer'] === peer &&
      (message === 'a peer spoke amiss and was hung up on' || message === 'no session with a peer'),
  ).length

describe('a peer that sends too much', () => {
  it('in one line of 100 MB is told so once and sent away; the log names it, others are served', async () => {
    const bob = await sessionOf('@bob')
    const pouring = pour(bob, 100 * mega)
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
    expect(await bob.closed).toEqual(full)
    await pouring
    expect(warnings('a peer was refused')).toEqual([expect.objectContaining({ peer: '@bob', code: 'AT0005' })])
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  it('in many lines at once holds no more memory than three of them: who holds most gives way', async () => {
    const clients = [
      await sessionOf('@bob'),
      await sessionOf('@carol'),
      await sessionOf('@dave'),
      await sessionOf('@erin'),
    ]
    for (const client of clients) {
      await pour(client, 9 * mega)
      await until(async () => (await held()) > 9 * mega)
      expect(await held()).toBeLessThanOrEqual(limits.peerLineBytes)
    }
    // Whoever had to give way hears of it with its next bytes.
    for (const client of clients) client.write('x')
    expect(await Promise.race(clients.map((client) => client.reply()))).toMatch(/^error:AT0028-/)
    const small = await sessionOf('@fred')
    expect(await small.ask(`notify:id:n1:isEncrypted:false:@alice:x.wavi@fred:${'v'.repeat(1_000)}`)).toBe(
      'data:success\n@fred@',
    )
    expect(await owner.ask(`update:big.wavi@alice ${'v'.repeat(9 * mega)}`)).toMatch(/^data:\d+\n/)
  })

  it('in lines that wait to be answered holds no more than three of them; answered ones make room', async () => {
    const atSigns: AtSign[] = ['@bob', '@carol', '@dave', '@erin', '@fred', '@gina']
    const clients: Client[] = []
    for (const atSign of atSigns) clients.push(await sessionOf(atSign))
    for (const [index, client] of clients.entries()) {
      client.write('noop:5000\n')
      await pour(client, 10 * mega)
      client.write('\n')
      if (index < 3) await until(async () => (await held()) === 10 * mega * (index + 1))
      expect(await held()).toBeLessThanOrEqual(limits.peerLineBytes)
    }
    // Whoever is sent away takes its lines along.
    expect(await owner.ask('config:block:add:@bob')).toBe('data:success\n@alice@')
    expect(await held()).toBe(20 * mega)
    // The lines of the last three were refused as they came; each hears of it in its turn.
    network.clock.advance(5_000)
    for (const client of clients.slice(1, 3)) {
      expect(await client.reply()).toMatch(/^data:ok\n/)
      expect(await client.reply()).toMatch(/^error:AT0003-/)
    }
    // It is no AT0005, for which senders give a notification up: it may be sent again, and finds room.
    for (const client of clients.slice(3)) {
      expect(await client.reply()).toMatch(/^data:ok\n/)
      expect(await client.reply()).toMatch(/^error:AT0028-Exception: .*send it again later\n@$/)
    }
    expect(await held()).toBe(0)
    const line = `notify:id:n1:isEncrypted:false:@alice:x.wavi@gina:${'v'.repeat(9 * mega)}`
    expect(await clients[5]?.ask(line)).toBe('data:success\n@gina@')
  })

  it('of notifications for others is refused each time and named once a minute', async () => {
    const bob = await sessionOf('@bob')
    for (let index = 0; index < 50; index++) {
      expect(await bob.ask(`notify:id:n${index}:@carol:x.wavi@bob:v`)).toContain('error:AT0009-')
    }
    const told = (): unknown[] => warnings('a peer was refused')
    expect(told()).toHaveLength(1)
    network.clock.advance(60_000)
    expect(told().slice(1)).toEqual([expect.objectContaining({ peer: '@bob', code: 'AT0009', count: 49 })])
    expect(await owner.ask('stats:11')).toContain('\\"total\\":0')
  })
})

describe('a peer whose answer has no end', () => {
  it.each([
    ['to lookup', 'lookup:all:phone.wavi@bob', /^error:AT0005-/],
    ['to from', 'from:@alice', /^error:AT0008-/],
    ['to the question for its key', 'lookup:all:publickey@bob', /^error:AT0008-/],
  ])('%s is cut off, and others are asked meanwhile', async (_what, asked, expected) => {
    const piece = 'x'.repeat(mega)
    await network.script('@bob', (line, { usual, send }) => {
      if (line !== asked) return usual()
      const more = (): void => {
        if (send(piece)) setImmediate(more)
      }
      send('data:')
      more()
      return undefined
    })
    await network.script('@carol', (line, { usual }) =>
      line.startsWith('lookup:all:phone')
        ? 'data:{"key":"@alice:phone.wavi@carol","data":"1","metaData":{}}\n@alice@'
        : usual(),
    )
    const other = await alice.owner()
    owner.write('lookup:phone.wavi@bob\n')
    expect(await other.ask('lookup:phone.wavi@carol')).toBe('data:1\n@alice@')
    expect(await owner.reply()).toMatch(expected)
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
    expect(named('@bob')).toBe(1)
  })

  it('now and then is named once a minute, holds no memory once it is cut off, and others are named by themselves', async () => {
    const replies = async (): Promise<number> => (await alice.server.status()).peerLineBytes.replies
    let largest = 0
    const endless: Answer = (line, { usual, send }) => {
      if (!line.startsWith('lookup:all:phone')) return usual()
      const more = (): void => {
        if (send('x'.repeat(mega))) setImmediate(more)
      }
      send('data:')
      more()
      return undefined
    }
    for (const peer of ['@bob', '@carol'] as const) await network.script(peer, endless)
    for (let time = 0; time < 3; time++) {
      for (const peer of ['@bob', '@carol'] as const) {
        expect(await owner.ask(`lookup:lamp.wavi${peer}`)).toMatch(/^error:AT0015-/)
        owner.write(`lookup:phone.wavi${peer}\n`)
        let isOver = false
        const reply = owner.reply().finally(() => {
          isOver = true
        })
        await until(async () => {
          largest = Math.max(largest, await replies())
          return isOver
        })
        expect(await reply).toMatch(/^error:AT0005-/)
        expect(await replies()).toBe(0)
      }
    }
    expect(largest).toBeGreaterThan(0)
    expect(largest).toBeLessThanOrEqual(limits.peerLineBytes)
    expect([named('@bob'), named('@carol')]).toEqual([1, 1])
    network.clock.advance(60_000)
    const told = warnings('a peer spoke amiss and was hung up on')
    for (const peer of ['@bob', '@carol']) {
      expect(told).toContainEqual(expect.objectContaining({ peer, code: 'AT0005', count: 2 }))
    }
  })

  it('that speaks without being asked is not listened to', async () => {
    await network.script('@bob', (line, { usual, send }) => {
      if (line === 'pol') setImmediate(() => send('data:surprise\n@alice@'.repeat(1_000)))
      return usual()
    })
    const answer = await owner.ask('lookup:phone.wavi@bob')
    expect(answer).toMatch(/^error:AT\d{4}-/)
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
    expect(named('@bob')).toBe(1)
  })
})

describe('connections that say nothing', () => {
  it('keep nobody out, however many they are', async () => {
    const sockets = new Set<Socket>()
    for (let wave = 0; wave < 5; wave++) {
      const opened = Array.from({ length: 200 }, () => {
        const socket = connect(alice.port, '127.0.0.1')
        socket.on('error', () => {})
        socket.on('close', () => sockets.delete(socket))
        socket.resume()
        sockets.add(socket)
        return new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))
      })
      await Promise.all(opened)
    }
    const bob = await sessionOf('@bob')
    expect(await bob.ask('noop:0')).toBe('data:ok\n@bob@')
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
    expect(sockets.size).toBeLessThanOrEqual(2 * limits.inboundConnections)
    const { connections } = await alice.server.status()
    expect(connections.total).toBeLessThanOrEqual(limits.inboundConnections)
    const gaveWay = 'an unfinished connection gave way to a newcomer'
    expect(warnings(gaveWay)).toEqual([{ remoteAddress: expect.stringContaining('127.0.0.1') }])
    network.clock.advance(60_000)
    expect(warnings(gaveWay)).toHaveLength(2)
    for (const socket of sockets) socket.destroy()
    await until(() => sockets.size === 0)
  })
})
