import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Duplex, duplexPair } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, expect } from 'vitest'
import { type AtServer, type AtServerOptions, createAtServer } from '../../src/app.ts'
import { listenFor } from '../../src/app-listen.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import type { Log, LogLevel } from '../../src/core/log.ts'
import { cramDigest, newSessionId, peerChallenge } from '../../src/crypto/challenge.ts'
import { generateRsaPair, signRsa } from '../../src/crypto/signing.ts'
import { createResolver } from '../../src/directory/resolver.ts'
import { startDirectory } from '../../src/directory/server.ts'
import { createTable, type DirectoryTable } from '../../src/directory/table.ts'
import { dialTls } from '../../src/net/dial.ts'
import { type Listener, listenTls } from '../../src/net/listen.ts'
import { clientContext } from '../../src/net/tls-context.ts'
import { createAuthority } from '../../src/provision/authority.ts'
import { type IssuedCertificate, issueCertificate } from '../../src/provision/certificate.ts'
import { lineSplitter } from '../../src/wire/framing.ts'
import { type ManualClock, manualClock } from './clock.ts'
import { type Client, clientOf } from './server.ts'

// A private atPlatform for tests: a directory and several atServers, all over TLS on free ports of 127.0.0.1. Time is
// held in hand; the network itself is real, so tests wait for events or conditions.

type Close = () => Promise<unknown>

const closers: Close[] = []
afterAll(async () => {
  const failures: unknown[] = []
  for (const close of closers.splice(0).reverse()) {
    await close().catch((error: unknown) => failures.push(error))
  }
  expect(failures).toEqual([])
})

/** Has something closed when the tests of the file are over. */
export const closeLater = (close: Close): void => void closers.push(close)

/** A directory of its own, removed at the end. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'atedge-network-'))
  closeLater(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Waits for a condition; the test's own limit bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await pause(2)
}

/** What TLS needs on both ends. */
export interface TestCertificate extends IssuedCertificate {
  readonly ca: string
  /** Has the same authority issue one with other names. */
  sibling(names: readonly string[]): Promise<IssuedCertificate>
}

let issued: Promise<TestCertificate> | undefined

/** The certificate of every host in these tests, cut once per file: it names localhost and 127.0.0.1. */
export function testCertificate(): Promise<TestCertificate> {
  issued ??= newCertificate(['localhost', '127.0.0.1'])
  return issued
}

/** A certificate of another authority, which nobody here trusts. */
export async function newCertificate(names: readonly string[]): Promise<TestCertificate> {
  const now = Date.now()
  const authority = await createAuthority({ name: 'test network', now })
  const certificate = await issueCertificate(authority, { names, now })
  const sibling = (others: readonly string[]) => issueCertificate(authority, { names: others, now })
  return { ...certificate, ca: authority.certificate, sibling }
}

/** What was logged, by which atServer. */
export interface LogEntry {
  readonly level: string
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
}

/** One atServer of a test network. */
export interface Member {
  readonly atSign: AtSign
  readonly port: number
  /** Folder of its store. */
  readonly directory: string
  readonly server: AtServer
  readonly logs: readonly LogEntry[]
  /** Logged in as the owner, inside the process. */
  owner(): Promise<Client>
  /** Shows notifications; `command` is `monitor` unless told. */
  monitor(command?: string): Promise<Monitor>
  /** Stops listening and closes the store; the data stay. */
  stop(): Promise<void>
  /** Starts again on the same data and the same port. */
  start(changes?: Partial<AtServerOptions>): Promise<void>
}

/** A monitor as its owner sees it. */
export interface Monitor {
  /** Keys and values of what came so far, without statistics. */
  readonly received: readonly { readonly id: string; readonly key: string; readonly value: string | null }[]
  /** Waits until so many notifications have come, and gives their values. */
  values(count: number): Promise<(string | null)[]>
  close(): void
}

export interface TestNetwork {
  readonly clock: ManualClock
  readonly table: DirectoryTable
  readonly certificate: TestCertificate
  member(atSign: AtSign): Member
  /** Opens TLS to whoever the directory gives for an atSign, with a certificate or without. */
  connect(atSign: AtSign, shown?: IssuedCertificate): Promise<Client>
  /** An atServer that is a script; the directory names it, in place of an earlier one, which is closed. */
  script(atSign: AtSign, answer?: Answer, shown?: IssuedCertificate): Promise<ScriptedPeer>
  /** Puts a fault between an atServer and everybody who resolves it. @returns a function that takes it away */
  wrap(atSign: AtSign, fault: Fault): Promise<() => void>
  /** Makes the directory unreachable, or reachable again on the same port. */
  stopDirectory(): Promise<void>
  startDirectory(): Promise<void>
  /** How often the directory was asked in vain. */
  refusals(): number
}

const names = { host: 'localhost', loopback: '127.0.0.1' } as const

/**
 * Starts a network.
 * @param options passed on to every atServer; `trust` is an authority that they trust for client certificates besides
 *   that of the network
 */
export async function startTestNetwork(
  atSigns: readonly AtSign[],
  options: { clock?: ManualClock; trust?: string } & Partial<
    Pick<
      AtServerOptions,
      'federation' | 'autoNotify' | 'places' | 'random' | 'peerQuota' | 'outboxPerPeer' | 'refreshTimes'
    >
  > = {},
): Promise<TestNetwork> {
  const { clock = manualClock(), trust = '', ...forAll } = options
  const certificate = await testCertificate()
  const table = createTable()
  const context = { cert: certificate.chain, key: certificate.key, ca: `${certificate.ca}${trust}` }
  const secureContext = clientContext({ ca: [certificate.ca], cert: certificate.chain, key: certificate.key })
  const log: Log = () => {}

  let directory: Awaited<ReturnType<typeof startDirectory>> | undefined
  let directoryPort = 0
  let refused = 0
  const openDirectory = async (): Promise<void> => {
    directory = await startDirectory({
      ...{ table, clock, log },
      listen: { ...context, host: names.loopback, port: directoryPort },
    })
    directoryPort = directory.port
  }
  await openDirectory()
  closeLater(async () => directory?.close())

  const dial = (address: { host: string; port: number }): Promise<Duplex> =>
    dialTls({ ...address, context: secureContext, clock })

  const addressOf = (atSign: AtSign): { host: string; port: number } => {
    const port = Number(table.get(atSign)?.split(':')[1])
    return { host: names.host, port }
  }

  const scripts = new Map<AtSign, ScriptedPeer>()
  const members = new Map<AtSign, Member>()
  for (const atSign of atSigns) {
    const ask = async (): Promise<Duplex> => {
      try {
        return await dial({ host: names.host, port: directoryPort })
      } catch (error) {
        refused++
        throw error
      }
    }
    members.set(atSign, await startMember(atSign, { clock, context, dial, ask, forAll }))
    table.set(atSign, `${names.host}:${members.get(atSign)?.port}`)
  }
  const member = (atSign: AtSign): Member => {
    const found = members.get(atSign)
    if (found === undefined) throw new Error(`${atSign} is not in this network`)
    return found
  }

  return {
    ...{ clock, table, certificate, member },
    async connect(atSign, shown) {
      const own = shown === undefined ? {} : { cert: shown.chain, key: shown.key }
      const client = clientOf(await dialTls({ ...addressOf(atSign), ca: [certificate.ca], ...own, clock }))
      closeLater(async () => client.stream.destroy())
      await client.take(/^@/)
      return client
    },
    async script(atSign, answer, shown) {
      await scripts.get(atSign)?.close()
      const served = shown === undefined ? context : { ...context, cert: shown.chain, key: shown.key }
      const peer = await startScript(atSign, answer, { context: served, connect: (to) => dial(addressOf(to)) })
      table.set(atSign, `${names.host}:${peer.port}`)
      scripts.set(atSign, peer)
      return peer
    },
    async wrap(atSign, fault) {
      const { port, server } = member(atSign)
      const proxy = await listenTls({
        ...{ ...context, host: names.loopback, port: 0, handshakeMs: 30_000, log },
        onConnection: (socket) => faults[fault](socket, () => openInside(server)),
      })
      closeLater(() => proxy.close())
      table.set(atSign, `${names.host}:${proxy.port}`)
      return () => table.set(atSign, `${names.host}:${port}`)
    },
    async stopDirectory() {
      await directory?.close()
    },
    startDirectory: openDirectory,
    refusals: () => refused,
  }
}

const openInside = (server: AtServer): Duplex => server.connect()

async function startMember(
  atSign: AtSign,
  parts: {
    clock: ManualClock
    context: { cert: string; key: string; ca: string }
    dial: AtServerOptions['dial']
    ask: () => Promise<Duplex>
    forAll: Partial<AtServerOptions>
  },
): Promise<Member> {
  const { clock, context, dial } = parts
  const directory = await temporaryDirectory()
  const logs: LogEntry[] = []
  const write: Log = (level, message, details = {}) => void logs.push({ level, message, details })
  // As a device logs: answers that are known then leave without a line for each.
  const log: Log = Object.assign(write, { enabled: (level: LogLevel) => level !== 'debug' })
  let running: { server: AtServer; close: Close } | undefined
  let port = 0

  const start = async (changes: Partial<AtServerOptions> = {}): Promise<void> => {
    const resolver = createResolver({ clock, dial: parts.ask, name: 'the atDirectory' })
    const server = await createAtServer({
      ...{ atSign, directory, resolver, dial, clock, log, version: '0.0.0-test', ...parts.forAll, ...changes },
    })
    if (port === 0) port = await freePort()
    const listening = await listenFor(server, { host: names.loopback, port, ...context, log })
    const close = async (): Promise<void> => {
      resolver.close()
      await listening.close()
    }
    running = { server, close }
  }
  const stop = async (): Promise<void> => {
    const stopping = running?.close()
    running = undefined
    await stopping
  }
  await start()
  closeLater(async () => {
    const stopping = stop()
    // Whoever still waits for an answer has no clock any more.
    clock.advance(120_000)
    await stopping
    // A test that leaves no room for the store gets what it asked for.
    const isWanted = (message: string): boolean => message.startsWith('the disk is full')
    expect(logs.filter(({ level, message }) => level === 'error' && !isWanted(message))).toEqual([])
  })

  const current = (): AtServer => {
    if (running === undefined) throw new Error(`${atSign} is stopped`)
    return running.server
  }
  const owner = async (): Promise<Client> => {
    const client = clientOf(current().connect())
    await client.take(/^@/)
    const challenge = (await client.ask(`from:${atSign}`)).replace(/^data:/, '').replace(/\n.*$/s, '')
    const digest = cramDigest((await current().cramSecret()) ?? '', challenge)
    expect(await client.ask(`cram:${digest}`)).toBe(`data:success\n${atSign}@`)
    return client
  }
  return {
    ...{ atSign, directory, logs, owner, start, stop },
    port,
    get server() {
      return current()
    },
    monitor: async (command = 'monitor') => monitorOf(await owner(), command),
  }
}

async function monitorOf(client: Client, command: string): Promise<Monitor> {
  // The answer to `noop` says that the monitor is on.
  client.write(`${command}\nnoop:0\n`)
  const received: { id: string; key: string; value: string | null }[] = []
  let answered = false
  void (async () => {
    for (;;) {
      const line = await client.line()
      if (line === 'data:ok\n') answered = true
      const json = /^notification: (.*)\n$/.exec(line)?.[1]
      if (json === undefined) continue
      const { id, key, value } = JSON.parse(json) as { id: string; key: string; value: string | null }
      if (id !== '-1') received.push({ id, key, value })
    }
  })().catch(() => {})
  await until(() => answered)
  return {
    received,
    async values(count) {
      await until(() => received.length >= count)
      return received.map(({ value }) => value)
    },
    close: () => client.leave(),
  }
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const { chain, key } = await testCertificate()
  const options = { host: names.loopback, port: 0, cert: chain, key, handshakeMs: 30_000, log: () => {} }
  const listener = await listenTls({ ...options, onConnection: (socket) => socket.destroy() })
  await listener.close()
  return listener.port
}

/** What a script says to a line: bytes as they stand, or nothing. */
export type Answer = (line: string, turn: Turn) => string | undefined | Promise<string | undefined>

export interface Turn {
  /** What a well-behaved atServer of the time of the reference's version 3.16.4 answers. */
  readonly usual: () => string
  /** Of this connection: 0 for the first one. */
  readonly connection: number
  /** Sends bytes before or besides the answer. @returns false when nobody takes them any more */
  send(bytes: string): boolean
  end(): void
}

/** An atServer made of a script. */
export interface ScriptedPeer {
  readonly atSign: AtSign
  readonly port: number
  /** Every line that came, in order, with the number of its connection. */
  readonly lines: readonly { readonly connection: number; readonly line: string }[]
  /** Lines that begin with a text. */
  linesWith(start: string): string[]
  /** Signatures and records that it publishes, by what stands behind `lookup:`. */
  readonly published: Map<string, string>
  /** Most lines that came before the first of them was answered. */
  maxUnread(): number
  /** Signs as this atSign's server. */
  sign(text: string): string
  /** Dials a member and proves who it is, as its server would. */
  session(to: AtSign): Promise<Client>
  /** Says `from`, publishes its signature and says `pol`; the bytes that come back. */
  prove(client: Client): Promise<string>
  /** Ends its connections, then stops listening. */
  close(): Promise<void>
}

let pairs: Promise<{ publicKey: string; privateKey: string }> | undefined

async function startScript(
  atSign: AtSign,
  answer: Answer = (_line, { usual }) => usual(),
  parts: { context: { cert: string; key: string; ca: string }; connect: (to: AtSign) => Promise<Duplex> },
): Promise<ScriptedPeer> {
  pairs ??= generateRsaPair()
  const { publicKey, privateKey } = await pairs
  const lines: { connection: number; line: string }[] = []
  const published = new Map<string, string>([[`signing_publickey${atSign}`, publicKey]])
  const sockets = new Set<Duplex>()
  let connections = 0
  let mostUnread = 0

  const usual = (line: string, who: { prompt: string }): string => {
    const from = /^from:(@\S+)$/.exec(line)?.[1] as AtSign | undefined
    if (from !== undefined) {
      const { name, challenge } = peerChallenge(newSessionId(), from, atSign)
      return `data:proof:${name}:${challenge}\n@`
    }
    if (line === 'pol') return `${who.prompt}@`
    const prompt = who.prompt === '' ? '@' : `${who.prompt}@`
    const value = line.startsWith('lookup:') ? published.get(line.slice('lookup:'.length)) : undefined
    if (value !== undefined) return `data:${value}\n${prompt}`
    if (line.startsWith('notify:')) return `data:success\n${prompt}`
    if (line.startsWith('lookup:'))
      return `error:AT0015-Exception: ${line.slice(7)} does not exist in keystore\n${prompt}`
    return `error:AT0003-Exception: invalid command\n${prompt}`
  }

  const serve = (socket: Duplex): void => {
    const connection = connections++
    const splitter = lineSplitter(1_000_000)
    const who = { prompt: '' }
    let turn: Promise<void> = Promise.resolve()
    let unread = 0
    const take = async (line: string): Promise<void> => {
      lines.push({ connection, line })
      if (line.startsWith('from:')) who.prompt = line.slice('from:'.length)
      const text = await answer(line, {
        ...{ usual: () => usual(line, who), connection, end: () => socket.destroy() },
        send(bytes) {
          if (!socket.destroyed) socket.write(bytes)
          return !socket.destroyed
        },
      })
      unread--
      if (text !== undefined && !socket.destroyed) socket.write(text)
    }
    socket.on('data', (chunk: Buffer) => {
      for (const frame of splitter.push(chunk)) {
        if (frame.kind !== 'line') continue
        mostUnread = Math.max(mostUnread, ++unread)
        turn = turn.then(() => take(frame.text))
      }
    })
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => sockets.delete(socket))
    socket.write('@')
  }

  const options = { ...parts.context, host: names.loopback, port: 0, handshakeMs: 30_000, log: () => {} }
  const listener: Listener = await listenTls({ ...options, onConnection: serve })
  const close = async (): Promise<void> => {
    // Once a socket is closed here, whoever called has seen its end.
    for (const socket of sockets) socket.end()
    await until(() => sockets.size === 0)
    await listener.close()
  }
  closeLater(() => listener.close())

  const prove = async (client: Client): Promise<string> => {
    const reply = await client.ask(`from:${atSign}`)
    const [, name = '', challenge = ''] = /^data:proof:([^:]+):([^\n]+)\n@$/.exec(reply) ?? []
    published.set(name, signRsa(privateKey, challenge))
    client.write('pol\n')
    return client.take(/^(?:@[^@\s:]+@|error:[^\n]*\n@)/u)
  }

  return {
    ...{ atSign, port: listener.port, lines, published, prove, close },
    maxUnread: () => mostUnread,
    sign: (text) => signRsa(privateKey, text),
    linesWith: (start) => lines.filter(({ line }) => line.startsWith(start)).map(({ line }) => line),
    async session(to) {
      const client = clientOf(await parts.connect(to))
      closeLater(async () => client.stream.destroy())
      await client.take(/^@/)
      expect(await prove(client)).toBe(`${atSign}@`)
      return client
    },
  }
}

/** What can go wrong between an atServer and those who call it. */
export type Fault = 'slow' | 'reset' | 'silence' | 'nonsense'

/** Passes bytes on one at a time, each in a write of its own. */
function drip(from: Duplex, to: Duplex): void {
  const waiting: number[] = []
  let running = false
  const next = (): void => {
    const byte = waiting.shift()
    running = byte !== undefined
    if (byte !== undefined && !to.destroyed) to.write(Buffer.of(byte), () => setImmediate(next))
  }
  from.on('data', (chunk: Buffer) => {
    waiting.push(...chunk)
    if (!running) next()
  })
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}

const faults: Record<Fault, (socket: Duplex, open: () => Duplex) => void> = {
  slow(socket, open) {
    const inside = open()
    drip(socket, inside)
    drip(inside, socket)
  },
  reset: (socket) => void socket.destroy(),
  silence(socket) {
    socket.on('error', () => {})
    socket.resume()
  },
  nonsense(socket) {
    socket.on('error', () => {})
    socket.on('data', () => socket.write('220 smtp.example.org ESMTP\r\ndata:data:\n\u0000@@@\n'))
    socket.write('@')
  },
}

/** Both ends of a stream inside the process. */
export const pair = (): [near: Duplex, far: Duplex] => duplexPair()
