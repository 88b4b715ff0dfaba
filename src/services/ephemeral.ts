import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Notification, NotificationStatus } from '../core/notification.ts'
import type { Notifications } from '../core/storage.ts'
import type { Ephemeral } from '../verbs/verb.ts'

/** Notifications in memory, as delivery and readers of history need them. */
export interface EphemeralStore extends Ephemeral {
  /** Later than `since`, ascending by time. */
  since(since: number): Notification[]
  /** The first `limit` that wait for a recipient, in the order in which they were sent, leaving out `skip` (ids). */
  pending(recipient: AtSign, limit: number, skip?: ReadonlySet<string>): Notification[]
  settle(notification: Notification, status: NotificationStatus): void
  close(): void
}

export interface EphemeralOptions {
  readonly self: AtSign
  readonly clock: Clock
  /** Notifications held at one time; `limits.ephemeralCount` unless told. */
  readonly maxCount?: number
  /** Characters held at one time; `limits.ephemeralChars` unless told. */
  readonly maxChars?: number
}

interface Entry {
  readonly notification: Notification
  readonly other: AtSign
  readonly chars: number
}

/** What a notification costs besides its texts. */
const overhead = 200
/** One notification may take this part of the room. */
const largestPart = 8

const charsOf = ({ key, value, metadata }: Notification): number =>
  overhead + key.length + (value?.length ?? 0) + JSON.stringify(metadata).length

const placeOf = ({ from, id }: Pick<Notification, 'from' | 'id'>): string => `${from} ${id}`

/**
 * Holds ephemeral notifications for as long as they live. When there is no room, the oldest of whoever takes up most of it
 * goes, so that one busy atSign pushes out nobody else's.
 */
export function createEphemeral(options: EphemeralOptions): EphemeralStore {
  const { self, clock, maxCount = limits.ephemeralCount, maxChars = limits.ephemeralChars } = options
  const entries = new Map<string, Entry>()
  const usage = new Map<AtSign, number>()
  let total = 0
  let cancelPurge: (() => void) | undefined

  const drop = (place: string): void => {
    const entry = entries.get(place)
    if (entry === undefined) return
    entries.delete(place)
    total -= entry.chars
    const left = (usage.get(entry.other) ?? 0) - entry.chars
    if (left > 0) usage.set(entry.other, left)
    else usage.delete(entry.other)
  }

  const isLive = ({ notification }: Entry): boolean => notification.expiresAt > clock.now()

  const purge = (): void => {
    for (const [place, entry] of entries) if (!isLive(entry)) drop(place)
    cancelPurge = entries.size === 0 ? undefined : clock.after(limits.ephemeralMs, purge)
  }

  const makeRoom = (): void => {
    while (entries.size > maxCount || total > maxChars) {
      let busiest: [AtSign, number] | undefined
      for (const held of usage) if (busiest === undefined || held[1] > busiest[1]) busiest = held
      for (const [place, { other }] of entries) {
        if (other !== busiest?.[0]) continue
        drop(place)
        break
      }
    }
  }

  const live = function* (): Generator<Notification> {
    for (const entry of entries.values()) if (isLive(entry)) yield entry.notification
  }

  return {
    get(id, from) {
      if (from !== undefined) {
        const entry = entries.get(placeOf({ id, from }))
        return entry !== undefined && isLive(entry) ? entry.notification : undefined
      }
      for (const notification of live()) if (notification.id === id) return notification
      return undefined
    },
    put(notification) {
      const chars = charsOf(notification)
      const longest = Math.floor(maxChars / largestPart)
      if (chars > longest) throw new AtError('AT0022', `an ephemeral notification takes at most ${longest} characters`)
      const place = placeOf(notification)
      drop(place)
      const other = notification.to === self ? notification.from : notification.to
      entries.set(place, { notification, other, chars })
      total += chars
      usage.set(other, (usage.get(other) ?? 0) + chars)
      makeRoom()
      cancelPurge ??= clock.after(limits.ephemeralMs, purge)
    },
    remove: (notification) => drop(placeOf(notification)),
    since: (since) => [...live()].filter(({ at }) => at > since).sort((one, next) => one.at - next.at),
    pending(recipient, limit, skip) {
      const found: Notification[] = []
      for (const notification of usage.has(recipient) ? live() : []) {
        if (found.length >= limit) break
        const { to, type, status, id } = notification
        if (to === recipient && type === 'sent' && status === 'queued' && skip?.has(id) !== true)
          found.push(notification)
      }
      return found
    },
    settle(notification, status) {
      const place = placeOf(notification)
      const entry = entries.get(place)
      // One that was replaced meanwhile waits on: what was sent is the older one.
      if (entry?.notification.at !== notification.at) return
      entries.set(place, { ...entry, notification: { ...entry.notification, status } })
    },
    close() {
      cancelPurge?.()
      entries.clear()
      usage.clear()
      total = 0
    },
  }
}

/** What is stored and what is in memory, as one: for `notify:list`, `status`, `fetch` and the history of monitors. */
export const withEphemeral = (stored: Notifications, ephemeral: EphemeralStore): Notifications => ({
  get: async (id) => ephemeral.get(id) ?? stored.get(id),
  async *since(since) {
    const inMemory = ephemeral.since(since)
    for await (const notification of stored.since(since)) {
      while (inMemory[0] !== undefined && inMemory[0].at < notification.at) yield inMemory.shift() as Notification
      yield notification
    }
    yield* inMemory
  },
  async count() {
    const counts = await stored.count()
    const sent = ephemeral.since(-1).filter(({ type }) => type === 'sent').length
    const all = ephemeral.since(-1).length
    return { total: counts.total + all, sent: counts.sent + sent, received: counts.received + all - sent }
  },
})
