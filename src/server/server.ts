import type { Duplex } from 'node:stream'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { PeerCertificate } from '../core/session.ts'
import type { Durability } from '../core/storage.ts'
import type { FeedSource } from '../services/feed.ts'
import type { ConnectionSummary } from '../services/stats.ts'
import { type Connection, openConnection } from './connection.ts'
import type { Gate } from './dispatch.ts'

/** Where a stream comes from. */
export interface Origin {
  readonly remoteAddress: string
  readonly certificate: PeerCertificate | undefined
  /** Protocol chosen by ALPN, if any. */
  readonly alpn?: string | undefined
  /** Of the changes made on it; that of the store unless told. */
  readonly durability?: Durability | undefined
}

/** Serves the atProtocol on streams that somebody else accepted. */
export interface Server {
  handle(stream: Duplex, origin: Origin): void
  /**
   * Takes a place for a connection that does not speak the atProtocol.
   * @returns gives it back; undefined when all places are taken
   */
  reserve(): (() => void) | undefined
  connections(): ConnectionSummary[]
  /** Closes the connections of another atSign, proven or about to prove itself. */
  disconnect(atSign: AtSign): void
  /** Refuses new streams, answers the commands under way, closes every connection; resolves when none is left. */
  close(): Promise<void>
}

const poolFull = 'error:AT0012-Inbound connection limit exceeded\n'
const reapEveryMs = 30_000
/** How long commands under way may take once the server stops. */
const graceMs = 3_000

/** Idle time of a connection by who stands behind it; monitors stay alive through their own lines. */
const allowedIdle = (connection: Connection): number =>
  connection.session().identity.kind === 'anyone' ? limits.openIdleMs : limits.authenticatedIdleMs

/** Tells why, and waits a little for the other side to close: a reset would take the bytes back. */
function turnAway(stream: Duplex, clock: Clock): void {
  stream.on('error', () => stream.destroy())
  stream.on(
    'close',
    clock.after(limits.lingerMs, () => stream.destroy()),
  )
  stream.resume()
  // Bytes, not text: a WebSocket sends them as a binary message (page 07, 18.3).
  stream.end(Buffer.from(poolFull))
}

export function createServer(options: {
  gate: Gate
  feed: FeedSource
  clock: Clock
  log: Log
  maxConnections?: number
}): Server {
  const { clock, maxConnections = limits.inboundConnections } = options
  const open = new Set<Connection>()
  let reserved = 0
  let closed = false
  let cancelReap: (() => void) | undefined
  let allClosed: (() => void) | undefined

  const isFull = (): boolean => open.size + reserved >= maxConnections

  const reap = (): void => {
    const now = clock.now()
    for (const connection of open) {
      if (now - connection.lastActiveAt() > allowedIdle(connection)) connection.close()
    }
    cancelReap = open.size > 0 && !closed ? clock.after(reapEveryMs, reap) : undefined
  }

  return {
    handle(stream, origin) {
      if (closed) {
        stream.destroy()
        return
      }
      if (isFull()) {
        turnAway(stream, clock)
        return
      }
      const connection = openConnection(stream, {
        ...options,
        ...origin,
        onClose() {
          open.delete(connection)
          if (open.size === 0) allClosed?.()
        },
      })
      open.add(connection)
      cancelReap ??= clock.after(reapEveryMs, reap)
    },
    reserve() {
      if (isFull()) return undefined
      let held = 1
      reserved += held
      return () => {
        reserved -= held
        held = 0
      }
    },
    connections: () =>
      [...open].map((connection) => ({
        identity: connection.session().identity,
        claimed: connection.session().challenge?.for,
        createdAt: connection.createdAt,
        lastActiveAt: connection.lastActiveAt(),
      })),
    disconnect(atSign) {
      for (const connection of open) {
        const { identity, challenge } = connection.session()
        const who = identity.kind === 'peer' ? identity.atSign : challenge?.for
        if (who === atSign) connection.close()
      }
    },
    close() {
      closed = true
      cancelReap?.()
      for (const connection of open) connection.close()
      if (open.size === 0) return Promise.resolve()
      const cancel = clock.after(graceMs, () => {
        for (const connection of open) connection.close(true)
      })
      return new Promise((resolve) => {
        allClosed = () => {
          cancel()
          resolve()
        }
      })
    },
  }
}
