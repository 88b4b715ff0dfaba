import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { inProcessPair } from './client/in-process.ts'
import type { Config } from './config/load.ts'
import { type AtSign, parseAtSign } from './core/at-sign.ts'
import type { Clock } from './core/clock.ts'
import { AtError } from './core/errors.ts'
import type { Log } from './core/log.ts'
import { writeFileAtomically } from './crypto/private-file.ts'
import { type ConversationOptions, directoryLimits, serveDirectory } from './directory/conversation.ts'
import { parseServer } from './directory/endpoint.ts'
import { createEntries, type Entries, type EntryStore } from './directory/entries.ts'
import { createFileStore, parseEntries } from './directory/file-store.ts'
import { createForward } from './directory/forward.ts'
import type { Dial } from './directory/locate.ts'
import type { RedisSettings } from './directory/redis-connection.ts'
import { createRedisStore } from './directory/redis-store.ts'
import { createResolver, type Resolver } from './directory/resolver.ts'
import { type Directory, startDirectory } from './directory/server.ts'
import { createTable } from './directory/table.ts'
import { dialTls } from './net/dial.ts'
import { dialTcp } from './net/dial-tcp.ts'
import { clientContext, type ServerContext } from './net/tls-context.ts'
import type { ControlCommands } from './server/control.ts'

export interface LocalDirectoryOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  /** What it shows; `ca` holds the authorities whose devices may register. */
  readonly context: ServerContext
  /** Opens connections to the directory that it forwards to. */
  readonly dial: Dial
  /** Entries besides those of the configuration: the device itself. Names and `host:port`. */
  readonly own?: readonly (readonly [AtSign, string])[]
}

/** The atDirectory of this process. */
export interface LocalDirectory extends Pick<Directory, 'port' | 'setContext'> {
  /** Commands of the control socket. */
  readonly commands: ControlCommands
  /** A resolver that asks this directory inside the process. */
  resolver(cacheMs: number): Resolver
  /** A plain value for `atedge status`. */
  status(): unknown
  close(): Promise<void>
}

/** Entries that were registered or added, in the folder of the data. */
const fileName = 'directory.json'

async function readEntries(path: string, log: Log): Promise<ReadonlyMap<AtSign, string>> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (text === undefined) return new Map()
  try {
    return parseEntries(text)
  } catch (error) {
    const aside = `${path}.damaged`
    await rename(path, aside)
    log('error', 'the entries of the directory cannot be read; it starts without them', { path, aside, error })
    return new Map()
  }
}

async function fileStore({ config, log }: LocalDirectoryOptions): Promise<EntryStore> {
  const path = join(config.dataDir, fileName)
  return createFileStore({
    entries: await readEntries(path, log),
    save: (text) => writeFileAtomically(path, text, { overwrite: true }),
  })
}

const textOf = (args: Readonly<Record<string, unknown>>, name: string): string => {
  const value = args[name]
  if (typeof value !== 'string') throw new AtError('AT0022', `"${name}" has to be a text`)
  return value
}

const secretOf = async (path: string): Promise<string> => (await readFile(path, 'utf8')).trim()

/** How long a start waits for Redis; without it the directory starts with what its configuration holds. */
const redisMs = 3_000

const redisDialMs = 2_000

async function redisTls(caPath: string | undefined, clock: Clock): Promise<Dial> {
  const ca = caPath === undefined ? undefined : await readFile(caPath, 'utf8')
  const context = clientContext(ca === undefined ? {} : { ca: [ca] })
  return (address) => dialTls({ ...address, context, clock, timeoutMs: redisDialMs })
}

async function redisStore({ config, clock, log, own = [] }: LocalDirectoryOptions): Promise<EntryStore> {
  const { redis } = config.directory
  const { passwordFile, sentinelPasswordFile, ca } = redis
  const settings: RedisSettings = {
    ...{ primary: redis.primary, database: redis.database, username: redis.username },
    sentinelUsername: redis.sentinelUsername,
    servers: redis.servers.map((text) => parseServer(text, 6_379)),
    sentinels: redis.sentinels.map((text) => parseServer(text, 26_379)),
    password: passwordFile === undefined ? undefined : () => secretOf(passwordFile),
    sentinelPassword: sentinelPasswordFile === undefined ? undefined : () => secretOf(sentinelPasswordFile),
    dial: redis.tls ? await redisTls(ca, clock) : (address) => dialTcp({ ...address, clock, timeoutMs: redisDialMs }),
    clock,
  }
  const store = createRedisStore({ settings, log, own })
  await new Promise<void>((resolve) => {
    const cancel = clock.after(redisMs, resolve)
    void store.ready.then(() => {
      cancel()
      resolve()
    })
  })
  return store
}

/** Commands with which whoever runs the directory changes it. */
const commandsOf = (entries: Entries): ControlCommands => ({
  'directory.list': async () => entries.list(),
  async 'directory.add'(args) {
    const entry = { atSign: parseAtSign(textOf(args, 'atSign')), address: textOf(args, 'address') }
    await entries.add(entry.atSign, entry.address)
    return entry
  },
  async 'directory.remove'(args) {
    const atSign = parseAtSign(textOf(args, 'atSign'))
    return { atSign, removed: await entries.remove(atSign) }
  },
})

/**
 * Starts the atDirectory that the configuration describes.
 * @throws Error that names a busy port or an unusable file
 */
export async function startLocalDirectory(options: LocalDirectoryOptions): Promise<LocalDirectory> {
  const { config, clock, log, context, dial, own = [] } = options
  const { host, port, registration, lookupsPerSecond, forward: addresses } = config.directory
  const fixed = createTable([...Object.entries(config.directory.entries), ...own])
  const { servers, sentinels } = config.directory.redis
  const store = await (servers.length + sentinels.length > 0 ? redisStore(options) : fileStore(options))
  const forward = addresses.length === 0 ? undefined : createForward({ addresses, dial, clock, log })
  const entries = createEntries({ fixed, store, elsewhere: forward?.ask })
  const conversation: ConversationOptions = {
    ...{ table: entries, clock, log, forward: forward?.find },
    register: registration ? entries.register : undefined,
    limits: { ...directoryLimits, lookupsPerSecond },
  }
  const listener = await startDirectory({ ...conversation, listen: { ...context, host, port } })
  log('info', 'atDirectory listens', { port: listener.port })
  return {
    port: listener.port,
    setContext: listener.setContext,
    commands: commandsOf(entries),
    resolver: (cacheMs) =>
      createResolver({
        ...{ clock, cacheMs, name: 'the directory of this device' },
        async dial() {
          const [near, far] = inProcessPair()
          serveDirectory(far, { ...conversation, register: undefined })
          return near
        },
      }),
    status: () => ({
      ...{ port: listener.port, connections: listener.connections(), fixed: fixed.entries().length },
      ...store.status(),
      ...(forward === undefined ? {} : { forward: forward.status() }),
    }),
    async close() {
      await listener.close()
      forward?.close()
      await store.close()
    },
  }
}
