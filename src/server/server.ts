import type { Duplex } from 'node:stream'
import type { Identity } from '../core/access.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { PeerCertificate } from '../core/session.ts'
import type { Durability } from '../core/storage.ts'
import type { FeedSource } from '../services/feed.ts'
import type { ConnectionSummary } from '../services/stats.ts'
import { createLineBudget } from '../wire/line-budget.ts'
import { type Connection, openConnection } from './connection.ts'
import type { Gate } from './dispatch.ts'
import { createPlaces, defaultPlaces, type Occupant, type PlaceLimits } from './places.ts'
import { createTurn } from './turn.ts'

/** Where a stream comes from. */
export interface Origin {
  readonly remoteAddress: string
  readonly certificate: PeerCertificate | undefined
  /** Protocol chosen by ALPN, if any. */
  readonly alpn?: string | undefined
  /** Of the changes made on it; that of the store unless told. */
  readonly durability?: Durability | undefined
  /** It was opened inside the process, as the bridge's: it takes no place and may be idle for as long as it likes. */
  readonly isInside?: boolean
  /** Who it is without any login: only for connections from inside the process. */
  readonly identity?: Identity
}

/** Serves the atProtocol on streams that somebody else accepted. */
export interface Server {
  handle(stream: Duplex, origin: Origin): void
  /**
   * Takes a place for a connection that does not speak the atProtocol. Like every stranger it may lose it to a newcomer.
   * @returns gives it back; undefined when there is none
   */
  reserve(visitor: Omit<Occupant, 'identity'>): (() => void) | undefined
  connections(): ConnectionSummary[]
  /** Bytes held for long lines of peers. */
  peerLineBytes(): number
  /** Closes the connections of another atSign, proven or about to prove itself. */
  disconnect(atSign: AtSign): void
  /** Refuses new streams, answers the commands under way, closes every connection; resolves when none is left. */
  close(): Promise<void>
}

const poolFull = 'error:AT0012-Inbound connection limit exceeded\n'
/** How often idle connections are looked for, while there is room and while places are scarce. */
const reapMs = { calm: 30_000, crowded: 5_000 }
/** How long commands under way may take once the server stops. */
const graceMs = 3_000

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
  places?: Partial<PlaceLimits> | undefined
}): Server {
  const { clock, log } = options
  const open = new Set<Connection>()
  const peerLines = createLineBudget(limits.peerLineBytes)
  const { perAddress = defaultPlaces.perAddress, perPeer = defaultPlaces.perPeer } = options.places ?? {}
  // The total may change while the server runs.
  const total = (): number => options.places?.total ?? defaultPlaces.total
  const most: PlaceLimits = {
    ...{ perAddress, perPeer },
    get total() {
      return total()
    },
  }
  const places = createPlaces(most, { clock, log })
  const turn = createTurn(clock)
  let closed = false
  let cancelReap: (() => void) | undefined
  let allClosed: (() => void) | undefined

  const reap = (): void => {
    places.closeIdle()
    cancelReap = undefined
    reapLater()
  }
  const reapLater = (): void => {
    if (open.size > 0 && !closed) cancelReap ??= clock.after(places.isCrowded() ? reapMs.crowded : reapMs.calm, reap)
  }

  const admit = (stream: Duplex, origin: Origin): void => {
    let giveBack = (): void => {}
    const connection = openConnection(stream, {
      ...options,
      ...origin,
      peerLines,
      turn,
      onProven: () => places.proven(occupant),
      onClose() {
        giveBack()
        open.delete(connection)
        if (open.size === 0) allClosed?.()
      },
    })
    const { lastActiveAt, close } = connection
    const identity = (): Identity => connection.session().identity
    const occupant: Occupant = { remoteAddress: origin.remoteAddress, identity, lastActiveAt, close }
    if (origin.isInside !== true) giveBack = places.take(occupant)
    open.add(connection)
    reapLater()
  }

  return {
    handle(stream, origin) {
      if (closed) stream.destroy()
      else if (origin.isInside === true || places.makeRoom(origin.remoteAddress)) admit(stream, origin)
      else turnAway(stream, clock)
    },
    reserve(visitor) {
      if (!places.makeRoom(visitor.remoteAddress)) return undefined
      return places.take({ ...visitor, identity: () => ({ kind: 'anyone' }) })
    },
    connections: () =>
      [...open].map((connection) => ({
        identity: connection.session().identity,
        claimed: connection.session().challenge?.for,
        createdAt: connection.createdAt,
        lastActiveAt: connection.lastActiveAt(),
      })),
    peerLineBytes: peerLines.held,
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
