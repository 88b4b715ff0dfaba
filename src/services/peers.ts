import type { Duplex } from 'node:stream'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { readProof } from '../crypto/challenge.ts'
import { type Link, openLink, replyData } from '../wire/link.ts'
import type { Proofs } from './proofs.ts'

/** Sessions with the atServers of other atSigns; one of each kind per peer, opened on demand, closed when idle. */
export interface Peers {
  /** A session in which the peer knows who we are, by `from` and `pol`. @throws AtError AT0004, AT0007, AT0008, AT0023 */
  proven(atSign: AtSign): Promise<Link>
  /** A session without identity: public records and published proofs. */
  anonymous(atSign: AtSign): Promise<Link>
  count(): number
  close(): void
}

export interface PeersOptions {
  readonly self: AtSign
  readonly clock: Clock
  readonly log: Log
  readonly resolve: (atSign: AtSign) => Promise<{ host: string; port: number }>
  /** Forgets an address that could not be reached, so that a moved peer is found at its next place. */
  readonly forget: (atSign: AtSign) => void
  /** Opens TLS to an address with this atServer's certificate. */
  readonly dial: (address: { host: string; port: number }) => Promise<Duplex>
  readonly sign: (text: string) => string
  readonly proofs: Proofs
}

const idleMs = 300_000

/** Proves to the other side of a link who we are (page 02, section 5, as the caller). */
async function prove(link: Link, peer: AtSign, { self, sign, proofs }: PeersOptions): Promise<void> {
  const { name, challenge } = readProof(replyData(await link.request(`from:${self}`)), peer, self)
  proofs.publish(name, sign(challenge))
  const prompt = await link.prove('pol')
  if (prompt !== `${self}@`) throw new AtError('AT0008', `${peer} answered pol with "${prompt.slice(0, 64)}"`)
}

/** What a failed handshake means to whoever waits for the session (page 01, 5.4). */
const handshakeError = (peer: AtSign, error: unknown): AtError => {
  if (error instanceof AtError && ['AT0004', 'AT0007', 'AT0008', 'AT0021', 'AT0023'].includes(error.code)) return error
  return new AtError('AT0008', `handshake with ${peer} failed: ${error instanceof Error ? error.message : error}`)
}

export function createPeers(options: PeersOptions): Peers {
  const { clock, log } = options
  const sessions = new Map<string, Promise<Link>>()
  const open = new Set<Link>()
  let closed = false

  const dial = async (peer: AtSign): Promise<Duplex> => {
    const address = await options.resolve(peer)
    try {
      return await options.dial(address)
    } catch (error) {
      options.forget(peer)
      throw error
    }
  }

  const start = async (name: string, peer: AtSign, proven: boolean): Promise<Link> => {
    const stream = await dial(peer)
    const link = openLink(stream, {
      clock,
      replyMs: limits.peerReplyMs,
      onClose: () => {
        open.delete(link)
        sessions.delete(name)
      },
    })
    open.add(link)
    try {
      await link.ready
      if (proven) await prove(link, peer, options)
      if (closed) throw new AtError('AT0024', 'this atServer is stopping')
      return link
    } catch (error) {
      link.close()
      throw handshakeError(peer, error)
    }
  }

  /** Closes a session that nobody asked for during the idle time. */
  const watchIdle = (name: string, link: Link, used: { at: number }): void => {
    clock.after(idleMs, () => {
      if (link.closed) return
      if (clock.now() - used.at >= idleMs) {
        sessions.delete(name)
        link.close()
      } else watchIdle(name, link, used)
    })
  }

  const lastUse = new Map<string, { at: number }>()

  const session = (peer: AtSign, proven: boolean): Promise<Link> => {
    if (closed) return Promise.reject(new AtError('AT0024', 'this atServer is stopping'))
    const name = `${proven ? 'proven' : 'anonymous'} ${peer}`
    const used = lastUse.get(name)
    if (used !== undefined) used.at = clock.now()
    const known = sessions.get(name)
    if (known !== undefined) return known
    if (sessions.size >= limits.outboundConnections) {
      return Promise.reject(new AtError('AT0006', `already connected to ${sessions.size} atServers`))
    }
    const starting = start(name, peer, proven)
    sessions.set(name, starting)
    starting.then(
      (link) => {
        const use = { at: clock.now() }
        lastUse.set(name, use)
        watchIdle(name, link, use)
      },
      (error: Error) => {
        sessions.delete(name)
        log('info', 'no session with a peer', { peer, reason: error.message })
      },
    )
    return starting
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
