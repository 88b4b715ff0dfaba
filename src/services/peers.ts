import type { Duplex } from 'node:stream'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { readProof } from '../crypto/challenge.ts'
import { type Link, openLink, replyData } from '../wire/link.ts'
import { createPeerSession, type PeerSession } from './peer-session.ts'
import type { Proofs } from './proofs.ts'

/** Sessions with the atServers of other atSigns; one of each kind per peer, opened on demand, closed when idle. */
export interface Peers {
  /**
   * A session in which the peer knows who we are, by `from` and `pol`.
   * @throws AtError AT0007 when the directory does not know the atSign, AT0008 when the peer does not accept us, AT0004,
   *   AT0021 or AT0023 when it cannot be reached, AT0006 when too many sessions are at work
   */
  proven(atSign: AtSign): Promise<PeerSession>
  /** A session without identity: public records and published proofs. @throws AtError as `proven` */
  anonymous(atSign: AtSign): Promise<PeerSession>
  count(): number
  close(): void
}

export interface PeersOptions {
  readonly self: AtSign
  readonly clock: Clock
  readonly log: Log
  /** `fresh` asks the directory again, so that a peer that moved is found at its next place. */
  readonly resolve: (atSign: AtSign, options?: { fresh?: boolean }) => Promise<{ host: string; port: number }>
  /** Opens TLS to an address with this atServer's certificate. */
  readonly dial: (address: { host: string; port: number }) => Promise<Duplex>
  readonly sign: (text: string) => string
  readonly proofs: Proofs
  /** Runs on a new connection while it has no identity yet; whatever comes of it, the proof follows. */
  readonly beforeProof?: (atSign: AtSign, session: PeerSession) => Promise<void>
  /** Sessions at one time; `limits.outboundConnections` unless told. */
  readonly maxSessions?: number
}

const idleMs = 300_000

/** Proves to the other side of a link who we are (page 02, section 5, as the caller). */
async function prove(link: Link, peer: AtSign, { self, sign, proofs }: PeersOptions): Promise<void> {
  const { name, challenge } = readProof(replyData(await link.request(`from:${self}`)), peer, self)
  proofs.publish(name, sign(challenge))
  const prompt = await link.prove('pol')
  if (prompt !== `${self}@`) throw new AtError('AT0008', `it answered pol with "${prompt.slice(0, 64)}"`)
}

/** Codes of a connection that failed; what the peer itself answers to `from` and `pol` is AT0008 (page 01, 5.4). */
const connectionCodes: ReadonlySet<string> = new Set(['AT0004', 'AT0021', 'AT0023'])

function handshakeError(peer: AtSign, error: unknown, connectionFailed: boolean): AtError {
  if (error instanceof AtError && connectionFailed && connectionCodes.has(error.code)) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new AtError('AT0008', `handshake with ${peer} failed: ${reason}`, { cause: error })
}

/** A place among the sessions, from the first attempt to dial to the end of the connection. */
interface Place {
  readonly session: Promise<PeerSession>
  /** Undefined until the session is ready. */
  ready: PeerSession | undefined
  usedAt: number
  stopIdle: () => void
}

/** Keeps the sessions of one atServer; with all places taken, the one unused for longest gives way. */
export function createPeers(options: PeersOptions): Peers {
  const { clock, log, resolve, maxSessions = limits.outboundConnections } = options
  const places = new Map<string, Place>()
  const open = new Set<Link>()
  /** atSigns whose last known address led to no session: the directory is asked again before the next attempt. */
  const doubtful = new Set<AtSign>()
  let closed = false

  const stopping = (): AtError => new AtError('AT0008', 'this atServer is stopping')

  const dial = async (peer: AtSign): Promise<Duplex> => {
    const doubted = doubtful.delete(peer)
    const address = await resolve(peer, { fresh: doubted })
    try {
      return await options.dial(address)
    } catch (error) {
      if (doubted) throw error
      const { host, port } = await resolve(peer, { fresh: true })
      if (host === address.host && port === address.port) throw error
      return options.dial({ host, port })
    }
  }

  const start = async (peer: AtSign, proven: boolean, onClose: () => void): Promise<PeerSession> => {
    const stream = await dial(peer)
    if (closed) {
      stream.destroy()
      throw stopping()
    }
    const link = openLink(stream, {
      clock,
      onClose: () => {
        open.delete(link)
        onClose()
      },
    })
    open.add(link)
    const session = createPeerSession(link)
    try {
      await link.ready
      if (proven) {
        await options.beforeProof?.(peer, session)
        await prove(link, peer, options)
      }
      if (closed) throw stopping()
      return session
    } catch (error) {
      const connectionFailed = link.closed
      link.close()
      throw handshakeError(peer, error, connectionFailed)
    }
  }

  /** Ends a place, unless the name has passed on to another one. */
  const leave = (name: string, place: Place): void => {
    place.stopIdle()
    if (places.get(name) === place) places.delete(name)
  }

  const watchIdle = (name: string, place: Place, session: PeerSession): void => {
    const left = place.usedAt + idleMs - clock.now()
    place.stopIdle = clock.after(Math.max(left, 0), () => {
      if (clock.now() - place.usedAt < idleMs || session.busy) {
        if (session.busy) place.usedAt = clock.now()
        watchIdle(name, place, session)
        return
      }
      leave(name, place)
      session.close()
    })
  }

  /** Closes the session that nobody has used for longest. @returns false when all are at work */
  const makeRoom = (): boolean => {
    let oldest: [string, Place] | undefined
    for (const [name, place] of places) {
      // One that was asked for in this very moment is about to be used.
      if (place.ready?.busy !== false || place.usedAt >= clock.now()) continue
      if (oldest === undefined || place.usedAt < oldest[1].usedAt) oldest = [name, place]
    }
    if (oldest === undefined) return false
    leave(...oldest)
    oldest[1].ready?.close()
    return true
  }

  const session = async (peer: AtSign, proven: boolean): Promise<PeerSession> => {
    if (closed) throw stopping()
    const name = `${proven ? 'proven' : 'anonymous'} ${peer}`
    const known = places.get(name)
    if (known !== undefined) {
      known.usedAt = clock.now()
      return known.session
    }
    if (places.size >= maxSessions && !makeRoom()) {
      throw new AtError('AT0006', `already at work with ${places.size} atServers`)
    }
    const place: Place = {
      session: start(peer, proven, () => leave(name, place)),
      ready: undefined,
      usedAt: clock.now(),
      stopIdle: () => {},
    }
    places.set(name, place)
    place.session.then(
      (ready) => {
        if (places.get(name) !== place) return
        place.ready = ready
        watchIdle(name, place, ready)
      },
      (error: Error) => {
        leave(name, place)
        if (doubtful.size >= maxSessions) doubtful.clear()
        doubtful.add(peer)
        log('info', 'no session with a peer', { peer, reason: error.message })
      },
    )
    return place.session
  }

  return {
    proven: (atSign) => session(atSign, true),
    anonymous: (atSign) => session(atSign, false),
    count: () => open.size,
    close() {
      closed = true
      for (const link of open) link.close()
    },
  }
}
