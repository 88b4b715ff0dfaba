import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { formatCommand, RespError, type RespValue, respReader } from '../wire/resp.ts'
import { endpointText } from './endpoint.ts'
import type { Dial } from './locate.ts'
import type { Address } from './table.ts'

/** How to reach a Redis or Valkey that several directories share. */
export interface RedisSettings {
  /** The primary and its replicas; who is the primary is found out. */
  readonly servers: readonly Address[]
  /** Sentinels, which know the primary by its name; used in place of `servers`. */
  readonly sentinels: readonly Address[]
  /** Name of the primary at the Sentinels. */
  readonly primary: string
  readonly database: number
  readonly username?: string | undefined
  /** Read before each connection, so that a password may change. */
  readonly password?: (() => Promise<string>) | undefined
  /** As `username`, for the Sentinels. */
  readonly sentinelUsername?: string | undefined
  /** As `password`, for the Sentinels, which have accounts of their own; none is shown to them without it. */
  readonly sentinelPassword?: (() => Promise<string>) | undefined
  /** Opens a connection, over TLS or not. */
  readonly dial: Dial
  readonly clock: Clock
}

/** One connection to a Redis server; it never reconnects by itself. */
export interface RedisConnection {
  /**
   * Runs a command. Commands may be sent before earlier ones are answered.
   * @throws RespError what Redis answered, or Error when the connection ends or is silent for 2 seconds
   */
  run(...words: readonly (string | number)[]): Promise<RespValue>
  readonly closed: boolean
  /** Calls back once, when it has ended for any other reason than `close`. */
  onClose(listener: (reason: string) => void): void
  close(): void
}

const commandMs = 2_000
const dialFailed = (address: Address, error: unknown): Error =>
  new Error(`${endpointText(address)}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })

interface Pending {
  resolve(value: RespValue): void
  reject(error: Error): void
}

/** Speaks RESP2 on a stream. `onMessage` gets what arrives by subscription. */
function converse(stream: Duplex, clock: Clock, onMessage: (message: readonly RespValue[]) => void): RedisConnection {
  const reader = respReader()
  const pending: Pending[] = []
  let closed = false
  let listener = (_reason: string): void => {}
  let stopTimer = (): void => {}

  const end = (reason: string | undefined): void => {
    if (closed) return
    closed = true
    stopTimer()
    stream.destroy()
    for (const { reject } of pending.splice(0)) reject(new Error(reason ?? 'the connection was closed'))
    if (reason !== undefined) listener(reason)
  }

  const watch = (): void => {
    stopTimer()
    if (pending.length > 0) stopTimer = clock.after(commandMs, () => end(`no answer within ${commandMs} ms`))
  }

  const take = (value: RespValue): void => {
    if (Array.isArray(value) && value[0] === 'pmessage') {
      onMessage(value)
      return
    }
    const next = pending.shift()
    if (value instanceof RespError) next?.reject(value)
    else next?.resolve(value)
    watch()
  }

  stream.on('data', (chunk: Uint8Array) => {
    try {
      for (const value of closed ? [] : reader.push(chunk)) take(value)
    } catch (error) {
      end(error instanceof Error ? error.message : String(error))
    }
  })
  stream.on('error', (error) => end(error.message))
  stream.on('end', () => end('Redis closed the connection'))
  stream.on('close', () => end('the connection was closed'))

  return {
    run: (...words) =>
      new Promise((resolve, reject) => {
        if (closed) {
          reject(new Error('the connection is closed'))
          return
        }
        pending.push({ resolve, reject })
        if (pending.length === 1) watch()
        stream.write(formatCommand(words))
      }),
    get closed() {
      return closed
    },
    onClose(given) {
      listener = given
    },
    close: () => end(undefined),
  }
}

/** How a connection is opened, and who it is then. */
type Login = Pick<RedisSettings, 'dial' | 'clock' | 'username' | 'password'>

/**
 * Connects, logs in and selects a database.
 * @throws Error that names the server and the reason
 */
export async function openRedis(
  address: Address,
  settings: Login,
  {
    database = 0,
    onMessage = () => {},
  }: { database?: number; onMessage?: (message: readonly RespValue[]) => void } = {},
): Promise<RedisConnection> {
  const stream = await settings.dial(address).catch((error: unknown) => {
    throw dialFailed(address, error)
  })
  const connection = converse(stream, settings.clock, onMessage)
  try {
    const password = await settings.password?.()
    const { username } = settings
    if (password !== undefined) await connection.run('AUTH', ...(username === undefined ? [] : [username]), password)
    if (database > 0) await connection.run('SELECT', database)
    return connection
  } catch (error) {
    connection.close()
    throw dialFailed(address, error)
  }
}
