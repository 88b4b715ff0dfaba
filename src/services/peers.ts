import type { Duplex } from 'node:stream'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Log, oncePerMinute } from '../core/log.ts'
import { readProof } from '../crypto/challenge.ts'
import { createLineBudget } from '../wire/line-budget.ts'
import { type Link, openLink, replyData } from '../wire/link.ts'
import { createPeerHealth } from './peer-health.ts'
import { createPeerSession, type PeerSession } from './peer-session.ts'
import type { Proofs } from './proofs.ts'

/** Sessions with the atServers of other atSigns; one of each kind per peer, opened on demand, closed when idle. */
export interface Peers {
  /**
   * A session in which the peer knows who we are, by `from` and `pol`.
   * @throws AtError AT0007 when the directory does not know the atSign, AT0008 when the peer does not accept us, AT0004,
   *   AT0021 or AT0023 when it cannot be reached or is left alone after failures, AT0006 when too many sessions are at work
   */
  proven(atSign: AtSign): Promise<PeerSession>
  /**
   * A session without identity: public records and published proofs.
   * @param how `insist` tries a peer that is left alone too: one that calls is there
   * @throws AtError as `proven`
   */
  anonymous(atSign: AtSign, how?: { insist?: boolean }): Promise<PeerSession>
  count(): number
  /** Bytes held for long replies. */
  lineBytes(): number
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
  /** A number from 0 up to 1 that spreads attempts after failures; injected by tests. */
  readonly random?: () => number
}

const idleMs = 300_000
/** A session that ends sooner, with nothing answered, counts as a failed attempt. */
const provesItselfMs = 5_000
/** With all places taken, an attempt that has lasted this long gives way: many slow peers must not keep others out. */
const patientMs = 2_000

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
  /** Ends the attempt to open the session. */
  readonly attempt: AbortController
  readonly startedAt: number
  /** Undefined until the session is ready. */
  ready: PeerSession | undefined
  usedAt: number
  stopIdle: () => void
}

/** Failures that say nothing about the peer's atServer: the directory does not know it, or we had no place. */
const notItsFault: ReadonlySet<string> = new Set(['AT0006', 'AT0007'])

/** Ends of a session that no atServer causes: a reply beyond every limit, and what is no reply. */
const amiss: ReadonlySet<string> = new Set(['AT0005', 'AT0008', 'AT0011'])

const ended = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

/** The first of the places in this order, by the moments that `when` gives; undefined stands for none. */
function first(places: Iterable<Place>, when: (place: Place) => number | undefined): Place | undefined {
  let found: { place: Place; at: number } | undefined
  for (const place of places) {
    const at = when(place)
    if (at !== undefined && (found === undefined || at < found.at)) found = { place, at }
  }
  return found?.place
}

/** Keeps the sessions of one atServer; with all places taken, the one unused for longest gives way. */
export function createPeers(options: PeersOptions): Peers {
  const { clock, log, resolve, maxSessions = limits.outboundConnections } = options
  const places = new Map<string, Place>()
  const open = new Set<Link>()
  const lines = createLineBudget(limits.peerLineBytes)
  /** atSigns whose last known address led to no session: the directory is asked again before the next attempt. */
  const doubtful = new Set<AtSign>()
  const health = createPeerHealth({ clock, log, random: options.random ?? Math.random })
  const warn = oncePerMinute(log, clock)
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

  /** Watches a connection: a peer that hangs up at once and has answered nothing fares as badly as one that is away. */
  const openWatched = (peer: AtSign, stream: Duplex, onClose: () => void) => {
    let readyAt: number | undefined
    let answers = false
    let lost: Error | undefined
    const link = openLink(stream, {
      ...{ clock, lines },
      onClose(error) {
        open.delete(link)
        lost = error
        const early = readyAt !== undefined && clock.now() - readyAt < provesItselfMs
        if (error !== undefined && early && !answers) health.failed(peer, error)
        else if (readyAt !== undefined && error instanceof AtError && amiss.has(error.code)) {
          warn('a peer spoke amiss and was hung up on', { peer, code: error.code, reason: error.message })
        }
        onClose()
      },
    })
    open.add(link)
    const session = createPeerSession(link, () => {
      if (readyAt === undefined || answers) return
      answers = true
      health.answered(peer)
    })
    const isReady = (): void => {
      readyAt = clock.now()
    }
    return { link, session, isReady, reason: () => lost }
  }

  const start = async (
    peer: AtSign,
    proven: boolean,
    { signal, onClose }: { signal: AbortSignal; onClose: () => void },
  ): Promise<PeerSession> => {
    const stream = await dial(peer)
    if (signal.aborted) {
      stream.destroy()
      throw signal.reason
    }
    const { link, session, isReady, reason } = openWatched(peer, stream, onClose)
    const giveUp = (): void => link.close()
    signal.addEventListener('abort', giveUp)
    try {
      await link.ready
      if (proven) {
        await options.beforeProof?.(peer, session)
        await prove(link, peer, options)
      }
      isReady()
      return session
    } catch (error) {
      const connectionFailed = link.closed
      link.close()
      // What ended the connection tells more than the request that found it closed.
      throw handshakeError(peer, reason() ?? error, connectionFailed)
    } finally {
      signal.removeEventListener('abort', giveUp)
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

  const remove = (place: Place): void => {
    for (const [name, held] of places) if (held === place) leave(name, place)
  }

  /**
   * Closes the session that nobody has used for longest, else gives up the attempt that has lasted longest.
   * @returns false when all are at work
   */
  const makeRoom = (): boolean => {
    const now = clock.now()
    // One that was asked for in this very moment is about to be used.
    const idle = first(places.values(), ({ ready, usedAt }) =>
      ready?.busy === false && usedAt < now ? usedAt : undefined,
    )
    const slow = first(places.values(), ({ ready, startedAt }) =>
      ready === undefined && now - startedAt >= patientMs ? startedAt : undefined,
    )
    const leaving = idle ?? slow
    if (leaving === undefined) return false
    remove(leaving)
    if (leaving.ready === undefined) {
      leaving.attempt.abort(new AtError('AT0023', `No session within ${now - leaving.startedAt} ms; others wait`))
    } else leaving.ready.close()
    return true
  }

  const onFailure = (peer: AtSign, error: Error): void => {
    if (closed || (error instanceof AtError && notItsFault.has(error.code))) return
    if (doubtful.size >= maxSessions) doubtful.clear()
    doubtful.add(peer)
    health.failed(peer, error)
  }

  const newPlace = (name: string, peer: AtSign, proven: boolean): Place => {
    const attempt = new AbortController()
    const { signal } = attempt
    const started = start(peer, proven, { signal, onClose: () => leave(name, place) })
    const place: Place = {
      session: Promise.race([started, ended(signal)]),
      ...{ attempt, startedAt: clock.now(), ready: undefined, usedAt: clock.now(), stopIdle: () => {} },
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
        onFailure(peer, error)
      },
    )
    return place
  }

  const session = async (peer: AtSign, proven: boolean, { insist = false } = {}): Promise<PeerSession> => {
    if (closed) throw stopping()
    const name = `${proven ? 'proven' : 'anonymous'} ${peer}`
    const known = places.get(name)
    if (known !== undefined) {
      known.usedAt = clock.now()
      return known.session
    }
    if (!insist) health.check(peer)
    if (places.size >= maxSessions && !makeRoom()) {
      throw new AtError('AT0006', `already at work with ${places.size} atServers`)
    }
    return newPlace(name, peer, proven).session
  }

  return {
    proven: (atSign) => session(atSign, true),
    anonymous: (atSign, how) => session(atSign, false, how),
    count: () => open.size,
    lineBytes: lines.held,
    close() {
      closed = true
      for (const { attempt, ready } of places.values()) if (ready === undefined) attempt.abort(stopping())
      for (const link of open) link.close()
    },
  }
}
