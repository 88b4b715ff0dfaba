import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'

/** How the atServers of other atSigns fared lately: those that fail again and again are left alone for a while. */
export interface PeerHealth {
  /** @throws AtError with the code of the last failure while the peer is left alone */
  check(peer: AtSign): void
  /** An attempt to reach the peer failed, or its connection ended before it had answered anything. */
  failed(peer: AtSign, error: Error): void
  /** The peer answers. */
  answered(peer: AtSign): void
}

/**
 * The back-off of the reference's delivery, 200 ms growing by the golden ratio (page 07, 16.2), begins with the second
 * failure: a peer that was only restarted is met again at once. Each pause is shorter than the one a delivery makes after as
 * many failures, so that its next attempt is not refused here.
 */
const firstPauseMs = 200
const growth = 1.618
const longestPauseMs = 8_000
/** A peer that has failed is logged, and then once a minute. */
const logEveryMs = 60_000
/** Names are chosen by strangers: the longest forgotten of this many makes room. */
const mostRemembered = 1_000

interface Trouble {
  failures: number
  until: number
  error: Error
  loggedAt: number
  /** Failures since the last log line. */
  unlogged: number
}

/** @param random source of numbers from 0 up to 1 */
export function createPeerHealth(options: { clock: Clock; log: Log; random: () => number }): PeerHealth {
  const { clock, log, random } = options
  const troubles = new Map<AtSign, Trouble>()

  const tell = (peer: AtSign, trouble: Trouble): void => {
    trouble.unlogged++
    if (clock.now() - trouble.loggedAt < logEveryMs) return
    log('info', 'no session with a peer', { peer, reason: trouble.error.message, failures: trouble.unlogged })
    trouble.loggedAt = clock.now()
    trouble.unlogged = 0
  }

  const remember = (peer: AtSign, trouble: Trouble): void => {
    troubles.delete(peer)
    troubles.set(peer, trouble)
    const oldest = troubles.keys().next()
    if (troubles.size > mostRemembered && !oldest.done) troubles.delete(oldest.value)
  }

  return {
    check(peer) {
      const trouble = troubles.get(peer)
      const left = (trouble?.until ?? 0) - clock.now()
      if (trouble === undefined || left <= 0) return
      const code = trouble.error instanceof AtError ? trouble.error.code : 'AT0004'
      const cause = trouble.error
      throw new AtError(code, `${cause.message} (not tried again for ${Math.ceil(left)} ms)`, { cause, closes: false })
    },
    failed(peer, error) {
      const trouble = troubles.get(peer) ?? { failures: 0, until: 0, error, loggedAt: -logEveryMs, unlogged: 0 }
      trouble.failures++
      trouble.error = error
      if (trouble.failures > 1) {
        const pause = Math.min(firstPauseMs * growth ** (trouble.failures - 2), longestPauseMs)
        trouble.until = clock.now() + pause * (0.5 + random() / 2)
      }
      remember(peer, trouble)
      tell(peer, trouble)
    },
    answered: (peer) => void troubles.delete(peer),
  }
}
