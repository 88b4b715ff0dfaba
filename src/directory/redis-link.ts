import type { Log } from '../core/log.ts'
import { endpointText } from './endpoint.ts'
import type { RedisConnection, RedisSettings } from './redis-connection.ts'
import { findServer, isPrimary, listenToKeys, neededEvents, type RedisServer, tellsOfKeys } from './redis-servers.ts'

/** A connection to Redis as long as it lasts. */
export interface RedisSession extends RedisServer {
  /** Hears of changes; undefined where Redis does not tell. */
  readonly subscriber: RedisConnection | undefined
}

/** A session that is looked for again whenever it is lost. */
export interface RedisLink {
  /** Undefined while there is none. */
  session(): RedisSession | undefined
  /** Resolves after the first attempt, whatever came of it. */
  readonly tried: Promise<void>
  close(): Promise<void>
}

export interface RedisLinkOptions {
  readonly settings: RedisSettings
  readonly log: Log
  /** A key was set, removed or expired. */
  readonly onKey: (key: string) => void
  /** Another session stands: whatever was known before may have changed. */
  readonly onSession: (session: RedisSession) => void
}

/** How often a session is asked whether it still is one with the primary: a demoted one keeps its connections. */
const checkMs = 2_000
const firstPauseMs = 200
const longestPauseMs = 5_000

const end = ({ connection, subscriber }: RedisSession): void => {
  connection.close()
  subscriber?.close()
}

const isOpen = ({ connection, subscriber }: RedisSession): boolean => !connection.closed && subscriber?.closed !== true

/** Keeps a session with the primary, or with a replica while there is none. */
export function createRedisLink(options: RedisLinkOptions): RedisLink {
  const { settings, log } = options
  const { clock } = settings
  let current: RedisSession | undefined
  let closed = false
  let failures = 0
  let told: string | undefined
  let cancel = (): void => {}

  const say = (level: 'info' | 'warn', message: string, details: Readonly<Record<string, unknown>>): void => {
    const line = `${message} ${JSON.stringify(details)}`
    if (line !== told) log(level, message, details)
    told = line
  }

  const announce = ({ address, isPrimary: writable, subscriber }: RedisSession): void =>
    say(writable && subscriber !== undefined ? 'info' : 'warn', 'entries of the directory come from Redis', {
      redis: endpointText(address),
      ...(writable ? {} : { problem: 'it is a replica: entries can be read, not changed' }),
      ...(subscriber === undefined
        ? { hint: `it does not tell of changes: set notify-keyspace-events ${neededEvents}` }
        : {}),
    })

  const connect = async (): Promise<RedisSession> => {
    const server = await findServer(settings)
    const session = { ...server, subscriber: await listenToKeys(server, settings, options.onKey) }
    for (const one of [session.connection, session.subscriber]) one?.onClose((reason) => lose(session, reason))
    if (isOpen(session)) return session
    end(session)
    throw new Error(`${endpointText(server.address)}: the connection was closed`)
  }

  const attempt = async (): Promise<void> => {
    try {
      const session = await connect()
      if (closed) {
        end(session)
        return
      }
      current = session
      failures = 0
      announce(session)
      options.onSession(session)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (!closed) say('warn', 'Redis does not answer; the directory answers from memory', { reason })
    }
    if (!closed) plan()
  }

  const plan = (): void => {
    cancel()
    const ms = current === undefined ? Math.min(firstPauseMs * 2 ** failures++, longestPauseMs) : checkMs
    cancel = clock.after(ms, () => void (current === undefined ? attempt() : check(current)))
  }

  const lose = (session: RedisSession, reason: string): void => {
    if (closed || current !== session) return
    current = undefined
    end(session)
    say('warn', 'the session with Redis has ended', { redis: endpointText(session.address), reason })
    cancel()
    void attempt()
  }

  /** A replica serves only as long as there is no primary. */
  const seekPrimary = async (session: RedisSession): Promise<void> => {
    const found = await findServer(settings).catch(() => undefined)
    found?.connection.close()
    if (found?.isPrimary === true) lose(session, 'there is a primary again')
  }

  const check = async (session: RedisSession): Promise<void> => {
    try {
      const writable = await isPrimary(session.connection)
      if (writable !== session.isPrimary) lose(session, writable ? 'it is the primary now' : 'it is a replica now')
      else if (!writable) await seekPrimary(session)
      else if (session.subscriber !== undefined && !(await tellsOfKeys(session.connection))) {
        lose(session, 'it does not tell of changes any more')
      }
    } catch (error) {
      lose(session, error instanceof Error ? error.message : String(error))
    }
    if (!closed && current === session) plan()
  }

  const tried = attempt()
  return {
    session: () => current,
    tried,
    async close() {
      closed = true
      cancel()
      if (current !== undefined) end(current)
      current = undefined
      await tried
    },
  }
}
