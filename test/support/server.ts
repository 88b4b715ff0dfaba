import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Duplex, duplexPair } from 'node:stream'
import { afterAll, expect } from 'vitest'
import { type AtServer, type AtServerOptions, createAtServer } from '../../src/app.ts'
import { inProcessPair } from '../../src/client/in-process.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import type { Enrollment } from '../../src/core/enrollment.ts'
import { AtError } from '../../src/core/errors.ts'
import type { Log, LogLevel } from '../../src/core/log.ts'
import { generateRsaPair, signRsa } from '../../src/crypto/signing.ts'
import { openStore, type StoreSeams } from '../../src/store/store.ts'
import { type Client, clientOf } from './client.ts'
import { type ManualClock, manualClock } from './clock.ts'

export { type Client, clientOf } from './client.ts'

// Whatever is opened here is closed when the tests of the file are over.
const closers: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** One atServer in a directory of its own. Its resolver knows whom `routes` names and nobody else. */
export interface TestServer {
  readonly atSign: AtSign
  readonly server: AtServer
  readonly clock: ManualClock
  /** How the atServers of other atSigns are reached. */
  readonly routes: Map<AtSign, () => Duplex | Promise<Duplex>>
  /** Its open sessions to others. */
  readonly dialled: Set<Duplex>
  /** Faults that no command should be able to cause; must be empty when the tests of the file are over. */
  readonly faults: string[]
}

export interface TestServerOptions
  extends Partial<Pick<AtServerOptions, 'places' | 'federation' | 'peerQuota' | 'durability' | 'testingMode'>> {
  readonly atSign?: AtSign
  readonly clock?: ManualClock
  readonly seams?: StoreSeams
  /** Hears every log line. */
  readonly onLog?: (...line: Parameters<Log>) => unknown
  /** Stored before the server starts: id and what may differ from an approved enrollment of the key of `asEnrolled`. */
  readonly enrollments?: Readonly<Record<string, Partial<Enrollment>>>
}

let keys: ReturnType<typeof generateRsaPair> | undefined

/** The one key pair with which the owners of these tests log in. */
export function loginKeys(): ReturnType<typeof generateRsaPair> {
  keys ??= generateRsaPair()
  return keys
}

async function storeEnrollments(directory: string, atSign: AtSign, clock: ManualClock, options: TestServerOptions) {
  if (options.enrollments === undefined) return
  const { publicKey } = await loginKeys()
  const base = { appName: 'app', deviceName: 'device', namespaces: {}, publicKey, signingAlgo: 'rsa2048' } as const
  const store = await openStore({ directory, atSign, clock, log: () => {} })
  for (const [id, own] of Object.entries(options.enrollments)) {
    await store.write((tx) => tx.putEnrollment({ ...base, id, state: 'approved', ...own }))
  }
  await store.close()
}

export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { atSign = '@alice', clock = manualClock() } = options
  const directory = await mkdtemp(join(tmpdir(), 'atedge-server-'))
  await storeEnrollments(directory, atSign, clock, options)
  const routes: TestServer['routes'] = new Map()
  const faults: string[] = []
  const dialled = new Set<Duplex>()
  const write: Log = (level, message, details) => {
    options.onLog?.(level, message, details)
    if (level === 'error') faults.push(`${message} ${String(details?.['error'])}`)
  }
  // A device in the field does not log each command, and answers some lines by a shorter way then.
  const log = Object.assign(write, { enabled: (level: LogLevel) => level !== 'debug' || options.onLog !== undefined })
  const server = await createAtServer(
    {
      ...options,
      ...{ atSign, directory, clock, log, version: '1.2.3' },
      resolver: {
        async resolve(wanted) {
          if (!routes.has(wanted)) throw new AtError('AT0007', `Unable to find secondary address for atSign:${wanted}`)
          return { host: wanted, port: 6464 }
        },
      },
      async dial({ host }) {
        const open = routes.get(host as AtSign)
        if (open === undefined) throw new AtError('AT0004', `no route to ${host}`)
        const stream = await open()
        dialled.add(stream)
        stream.once('close', () => dialled.delete(stream))
        return stream
      },
    },
    options.seams,
  )
  closers.push(async () => {
    const closing = server.close()
    // Whoever still waits for something has no clock any more.
    clock.advance(60_000)
    await closing
    await rm(directory, { recursive: true, force: true })
    expect(faults).toEqual([])
  })
  return { atSign, server, clock, routes, dialled, faults }
}

/** A connection from another machine, which takes a place. It was not greeted yet. */
export function visit({ server }: TestServer, remoteAddress = '192.0.2.1'): Client {
  const [near, far] = inProcessPair()
  server.handle(far, { remoteAddress, certificate: undefined })
  return clientOf(near)
}

/** A connection that was greeted and has said nothing yet. It comes from inside the process unless an address is given. */
export async function raw(target: TestServer, remoteAddress?: string): Promise<Client> {
  const client = remoteAddress === undefined ? clientOf(target.server.connect()) : visit(target, remoteAddress)
  await client.take(/^@/)
  return client
}

/** The text to be signed or digested, out of the reply to `from` by the owner. */
export async function challengeFor(client: Client, { atSign }: Pick<TestServer, 'atSign'>): Promise<string> {
  const reply = await client.ask(`from:${atSign}`)
  return reply.slice('data:'.length, reply.indexOf('\n'))
}

/** What `cram` wants for a challenge, by the definition of page 02, section 3. */
export const digestOf = (secret: string, challenge: string): string =>
  createHash('sha512').update(`${secret}${challenge}`, 'utf8').digest('hex')

/** Logs a greeted connection in with the secret of a device that is not activated yet. */
export async function loginAsOwner(client: Client, target: Pick<TestServer, 'server' | 'atSign'>): Promise<void> {
  const secret = await target.server.cramSecret()
  if (secret === undefined) throw new Error(`${target.atSign} has no CRAM secret any more`)
  const digest = digestOf(secret, await challengeFor(client, target))
  expect(await client.ask(`cram:${digest}`)).toBe(`data:success\n${target.atSign}@`)
}

/** A connection of the owner, by CRAM. */
export async function asOwner(target: TestServer, remoteAddress?: string): Promise<Client> {
  const client = await raw(target, remoteAddress)
  await loginAsOwner(client, target)
  return client
}

async function login(target: TestServer, option: string): Promise<Client> {
  const client = await raw(target)
  const signature = signRsa((await loginKeys()).privateKey, await challengeFor(client, target))
  expect(await client.ask(`pkam:${option}${signature}`)).toBe(`data:success\n${target.atSign}@`)
  return client
}

/** Logged in with the credential of a legacy onboarding, which is installed first. */
export async function asPrimary(target: TestServer): Promise<Client> {
  const owner = await asOwner(target)
  const { publicKey } = await loginKeys()
  expect(await owner.ask(`update:privatekey:at_pkam_publickey ${publicKey}`)).toBe(`data:-1\n${target.atSign}@`)
  owner.leave()
  return login(target, '')
}

/** Logged in as one of the enrollments that `startServer` was given. */
export const asEnrolled = (target: TestServer, id: string): Promise<Client> => login(target, `enrollmentId:${id}:`)

/** Lets two atServers find each other. */
export function connectServers(one: TestServer, other: TestServer): void {
  one.routes.set(other.atSign, () => other.server.connect())
  other.routes.set(one.atSign, () => one.server.connect())
}

/** @alice with these enrollments and @bob, who find each other, and the owner of the first. */
export async function startPair(
  enrollments: NonNullable<TestServerOptions['enrollments']> = {},
): Promise<{ alice: TestServer; bob: TestServer; owner: Client }> {
  const [alice, bob] = [await startServer({ enrollments }), await startServer({ atSign: '@bob' })]
  connectServers(alice, bob)
  return { alice, bob, owner: await asOwner(alice) }
}

/** A way to an atServer on which `from` and `pol` of another one are overheard; the proven connection is handed over. */
function overheard(target: TestServer, peer: AtSign, proven: (client: Client) => unknown): Duplex {
  const [theirs, relay] = duplexPair()
  const client = clientOf(target.server.connect())
  const forward = (chunk: Buffer): void => {
    if (String(chunk) !== `${peer}@`) {
      relay.write(chunk)
      return
    }
    client.stream.off('data', forward)
    relay.removeAllListeners()
    // What it asks for then is answered here: a session that ends without an answer would count as a failure.
    relay.write(chunk)
    relay.once('data', () => {
      relay.end('error:AT0015-Exception: not here\n@')
      relay.resume()
    })
    void client.take(/^.*$/s).then(() => proven(client))
  }
  client.stream.on('data', forward)
  client.stream.on('end', () => relay.end())
  relay.on('data', (chunk: Buffer) => client.write(chunk))
  relay.on('end', client.leave)
  return theirs
}

/**
 * The session that the atServer of another atSign has here after `from` and `pol`. That atServer shakes hands itself;
 * once it is known, the connection is taken over. The two servers have to be connected.
 */
export async function asPeer(target: TestServer, peer: TestServer): Promise<Client> {
  const owner = await asOwner(peer)
  const usual = peer.routes.get(target.atSign)
  let proven: Client | undefined
  let reply = ''
  peer.routes.set(target.atSign, () => overheard(target, peer.atSign, (client) => (proven = client)))
  // A session that was open or just being opened is used again; then there is nothing to overhear.
  for (let attempt = 0; attempt < 5 && proven === undefined; attempt++) {
    for (const stream of [...peer.dialled]) {
      // A session that is about to send something fails by that, and closes all the same.
      const closed = new Promise((resolve) => stream.once('close', resolve))
      stream.end()
      await closed
    }
    reply = await owner.ask(`lookup:handshake${target.atSign}`)
  }
  if (usual !== undefined) peer.routes.set(target.atSign, usual)
  owner.leave()
  if (proven === undefined) throw new Error(`${peer.atSign} could not prove itself to ${target.atSign}: ${reply}`)
  return proven
}

/** The same as `startPair`, and the session that @bob's atServer has at @alice's. */
export async function provenPair(
  enrollments?: TestServerOptions['enrollments'],
): Promise<Awaited<ReturnType<typeof startPair>> & { peer: Client }> {
  const pair = await startPair(enrollments)
  return { ...pair, peer: await asPeer(pair.alice, pair.bob) }
}
