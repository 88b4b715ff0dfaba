import { type Clock, elapsed } from '../core/clock.ts'
import { limits } from '../core/limits.ts'

/** Signatures that this atSign publishes while it proves itself to others. In memory only: they live for a minute. */
export interface Proofs {
  /** @param name `_<uuid>@<own atSign>`, judged by the caller before it comes here */
  publish(name: string, signature: string): void
  /** The signature under a name, if it was published less than a minute ago. */
  find(name: string): string | undefined
}

export function createProofs(clock: Clock): Proofs {
  const published = new Map<string, { signature: string; expiresAt: number }>()

  const dropOld = (now: number): void => {
    for (const [name, { expiresAt }] of published) {
      if (expiresAt > now && published.size <= limits.proofs) return
      published.delete(name)
    }
  }

  // Keys reach `find` in lower case, whatever case a peer chose for its session id.
  return {
    publish(given, signature) {
      const now = elapsed(clock)
      const name = given.toLowerCase()
      published.delete(name)
      published.set(name, { signature, expiresAt: now + limits.challengeMs })
      dropOld(now)
    },
    find(name) {
      const proof = published.get(name)
      return proof !== undefined && proof.expiresAt > elapsed(clock) ? proof.signature : undefined
    },
  }
}
