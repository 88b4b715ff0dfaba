import type { Identity } from '../core/access.ts'
import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import { type Log, oncePerMinute } from '../core/log.ts'

/** How many connections from other machines there may be at one time. */
export interface PlaceLimits {
  readonly total: number
  /** Of one remote address; an IPv6 network of 64 bits counts as one. */
  readonly perAddress: number
  /** Of one proven atSign. */
  readonly perPeer: number
}

/** A connection from another machine, as far as its place is concerned. */
export interface Occupant {
  readonly remoteAddress: string
  identity(): Identity
  /** Milliseconds since the epoch. */
  lastActiveAt(): number
  /** Ends it when what is under way is done; its place is free then. `abrupt` frees the place before it returns. */
  close(abrupt?: boolean): void
}

/** Decides who has a place, and for how long. */
export interface Places {
  /**
   * Makes sure that a newcomer finds a place, which may cost a connection that has proved nothing its own.
   * @returns false when there is none to be had
   */
  makeRoom(remoteAddress: string): boolean
  /** @returns gives the place back */
  take(occupant: Occupant): () => void
  /** Somebody has proved an identity: the longest idle session of a peer gives way once it has too many. */
  proven(occupant: Occupant): void
  closeIdle(): void
  /** More than half of the places are taken, so that idle times are short. */
  isCrowded(): boolean
}

export const defaultPlaces: PlaceLimits = {
  total: limits.inboundConnections,
  perAddress: limits.connectionsPerAddress,
  perPeer: limits.connectionsPerPeer,
}

/** How many taken places leave idle times as they are. */
const calm = (total: number): number => Math.floor(total / 2)

/** Idle time of a session by its kind: beyond half of the places, the more are taken, the shorter (page 01, 6.2). */
export function allowedIdleMs(kind: Identity['kind'], taken: number, total: number): number {
  const [most, least] =
    kind === 'anyone'
      ? [limits.openIdleMs, limits.openIdleLeastMs]
      : [limits.authenticatedIdleMs, limits.authenticatedIdleLeastMs]
  const shrinking = Math.max(total - calm(total), 1)
  const left = Math.min(Math.max(total - taken, 0), shrinking)
  return least + Math.floor(((most - least) * left) / shrinking)
}

/** What one party commonly has to itself: an IPv4 address, or the 64-bit network of an IPv6 one. */
export function networkOf(remoteAddress: string): string {
  const address = remoteAddress
    .toLowerCase()
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=[\d.]+$)/, '')
  if (!address.includes(':')) return address
  const [head = '', tail = ''] = address.split('::', 2)
  const [left, right] = [head, tail].map((part) => part.split(':').filter((group) => group !== ''))
  const zeros = Math.max(8 - (left?.length ?? 0) - (right?.length ?? 0), 0)
  const groups = [...(left ?? []), ...Array<string>(zeros).fill('0'), ...(right ?? [])]
  return `${groups.slice(0, 4).join(':')}::/64`
}

const isStranger = (occupant: Occupant): boolean => occupant.identity().kind === 'anyone'

function longestIdle(occupants: Iterable<Occupant>): Occupant | undefined {
  let found: Occupant | undefined
  for (const occupant of occupants) {
    if (found === undefined || occupant.lastActiveAt() < found.lastActiveAt()) found = occupant
  }
  return found
}

/** The places of one atServer. Connections from inside the process take none. */
export function createPlaces(most: PlaceLimits, io: { clock: Clock; log: Log }): Places {
  const { clock } = io
  const { perAddress, perPeer } = most
  const note = oncePerMinute(io.log, clock)
  const taken = new Set<Occupant>()
  /** Told to close; what they were asked before is still answered. */
  const leaving = new WeakSet<Occupant>()

  const isOverdue = (occupant: Occupant): boolean =>
    clock.now() - occupant.lastActiveAt() > allowedIdleMs(occupant.identity().kind, taken.size, most.total)

  const close = (occupant: Occupant, abrupt: boolean): void => {
    leaving.add(occupant)
    occupant.close(abrupt)
  }

  /** Frees the place of a stranger, or of a session that is idle beyond its time. */
  const freeOneOf = (occupants: readonly Occupant[]): boolean => {
    const found = longestIdle(occupants.filter(isStranger)) ?? longestIdle(occupants.filter(isOverdue))
    if (found === undefined) return false
    note('an idle connection gave way to a newcomer', { remoteAddress: found.remoteAddress })
    close(found, true)
    return true
  }

  const isCrowded = (): boolean => taken.size > calm(most.total)

  const closeIdle = (): void => {
    for (const occupant of [...taken].filter(isOverdue)) close(occupant, false)
  }

  return {
    makeRoom(remoteAddress) {
      if (isCrowded()) closeIdle()
      const network = networkOf(remoteAddress)
      const near = [...taken].filter((occupant) => networkOf(occupant.remoteAddress) === network)
      if (near.length >= perAddress && !freeOneOf(near)) {
        note('a connection was refused: its address has as many as it may', { remoteAddress, most: perAddress })
        return false
      }
      if (taken.size >= most.total && !freeOneOf([...taken])) {
        note('a connection was refused: owner and peers have taken all places', { remoteAddress, most: most.total })
        return false
      }
      return true
    },
    take(occupant) {
      taken.add(occupant)
      return () => taken.delete(occupant)
    },
    proven(occupant) {
      const who = occupant.identity()
      if (who.kind !== 'peer') return
      const isOther = (other: Occupant): boolean => {
        const identity = other.identity()
        return other !== occupant && !leaving.has(other) && identity.kind === 'peer' && identity.atSign === who.atSign
      }
      const others = [...taken].filter(isOther)
      const oldest = longestIdle(others)
      if (others.length < perPeer || oldest === undefined) return
      note('a session of a peer was closed: it has as many as it may', { peer: who.atSign, most: perPeer })
      close(oldest, false)
    },
    closeIdle,
    isCrowded,
  }
}
