import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Notification, NotificationStatus, Priority } from '../core/notification.ts'
import type { Notifications, Outbox, Waiting } from '../core/storage.ts'
import { notificationRef } from '../store/layout.ts'
import type { Ephemeral } from '../verbs/verb.ts'

/** Notifications in memory, as delivery and readers of history need them. */
export interface EphemeralStore extends Ephemeral, Pick<Outbox, 'waits'> {
  /** What an owner means by an id, as `Notifications.get`. */
  get(id: string): Notification | undefined
  /** Later than `since`, ascending by time. */
  since(since: number): Notification[]
  /** The first `limit` that wait for a recipient behind a place, in the order in which they were sent. */
  pending(recipient: AtSign, limit: number, behind?: number, maxChars?: number, priority?: Priority): Waiting[]
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

interface Entry extends Waiting {
  readonly other: AtSign
  readonly chars: number
}

/** What a notification costs besides its texts. */
const overhead = 200
/** One notification may take this part of the room. */
const largestPart = 8

const charsOf = ({ key, value, metadata }: Notification): number =>
  overhead + key.length + (value?.length ?? 0) + JSON.stringify(metadata).length

const isWaiting = ({ notification: { type, status } }: Entry): boolean => type === 'sent' && status === 'queued'

/** Of two under one id: what was sent before what was received, the later before the earlier. */
function meant(one: Notification | undefined, other: Notification | undefined): Notification | undefined {
  if (one === undefined || other === undefined) return one ?? other
  const [own, others] = [one.type === 'sent', other.type === 'sent']
  if (own !== others) return own ? one : other
  return one.at > other.at ? one : other
}

/**
 * Holds ephemeral notifications for as long as they live. When there is no room, the oldest of whoever takes up most of it
 * goes, so that one busy atSign pushes out nobody else's.
 */
export function createEphemeral(options: EphemeralOptions): EphemeralStore {
  const { self, clock, maxCount = limits.ephemeralCount, maxChars = limits.ephemeralChars } = options
  /** By `notificationRef`, in the order in which they came. */
  const entries = new Map<string, Entry>()
  const usage = new Map<AtSign, number>()
  /** Entries of each priority: what nobody uses is not looked for. */
  const held: Record<Priority, number> = { low: 0, medium: 0, high: 0 }
  let total = 0
  let lastPlace = 0
  let cancelPurge: (() => void) | undefined

  const drop = (ref: string): void => {
    const entry = entries.get(ref)
    if (entry === undefined) return
    entries.delete(ref)
    total -= entry.chars
    held[entry.notification.priority]--
    const left = (usage.get(entry.other) ?? 0) - entry.chars
    if (left > 0) usage.set(entry.other, left)
    else usage.delete(entry.other)
  }

  const isLive = ({ notification }: Entry): boolean => notification.expiresAt > clock.now()

  const purge = (): void => {
    for (const [ref, entry] of entries) if (!isLive(entry)) drop(ref)
    cancelPurge = entries.size === 0 ? undefined : clock.after(limits.ephemeralMs, purge)
  }

  const makeRoom = (): void => {
    while (entries.size > maxCount || total > maxChars) {
      let busiest: [AtSign, number] | undefined
      for (const held of usage) if (busiest === undefined || held[1] > busiest[1]) busiest = held
      for (const [ref, { other }] of entries) {
        if (other !== busiest?.[0]) continue
        drop(ref)
        break
      }
    }
  }

  const live = function* (): Generator<Entry> {
    for (const entry of entries.values()) if (isLive(entry)) yield entry
  }

  const end = (ref: string, entry: Entry, status: NotificationStatus): void =>
    void entries.set(ref, { ...entry, notification: { ...entry.notification, status } })

  /** Ends the wait of those that a newer one of the same notifier makes one too many. */
  const supersede = ({ to, notifier, latestN, strategy }: Notification): void => {
    if (strategy !== 'latest') return
    const rivals = [...entries].filter(([, entry]) => {
      const { notification } = entry
      const sameKind = notification.strategy === 'latest' && notification.notifier === notifier
      return sameKind && notification.to === to && isWaiting(entry)
    })
    for (const [ref, entry] of rivals.slice(0, Math.max(rivals.length - latestN + 1, 0))) end(ref, entry, 'expired')
  }

  const find = (ref: string): Entry | undefined => {
    const entry = entries.get(ref)
    return entry !== undefined && isLive(entry) ? entry : undefined
  }

  return {
    // Naming one costs more than everything else here, and mostly there is none.
    has: (notification) => entries.size > 0 && find(notificationRef(notification)) !== undefined,
    get(id) {
      let found: Notification | undefined
      for (const { notification } of live()) if (notification.id === id) found = meant(notification, found)
      return found
    },
    checkSize(notification) {
      const longest = Math.floor(maxChars / largestPart)
      if (charsOf(notification) <= longest) return
      throw new AtError('AT0022', `an ephemeral notification takes at most ${longest} characters`)
    },
    put(notification) {
      const chars = charsOf(notification)
      const ref = notificationRef(notification)
      const known = find(ref)
      if (known !== undefined && isWaiting(known)) return
      supersede(notification)
      drop(ref)
      const other = notification.to === self ? notification.from : notification.to
      entries.set(ref, { notification, other, chars, place: ++lastPlace })
      total += chars
      held[notification.priority]++
      usage.set(other, (usage.get(other) ?? 0) + chars)
      makeRoom()
      cancelPurge ??= clock.after(limits.ephemeralMs, purge)
    },
    remove: (notification) => drop(notificationRef(notification)),
    since: (since) =>
      [...live()]
        .map(({ notification }) => notification)
        .filter(({ at }) => at > since)
        .sort((one, next) => one.at - next.at),
    pending(recipient, limit, behind = 0, _maxChars, priority) {
      const found: Waiting[] = []
      const mayWait = usage.has(recipient) && (priority === undefined || held[priority] > 0)
      for (const entry of mayWait ? live() : []) {
        if (found.length >= limit) break
        const { place, notification } = entry
        if (place <= behind || notification.to !== recipient || !isWaiting(entry)) continue
        if (priority === undefined || notification.priority === priority) found.push(entry)
      }
      return found
    },
    waits(recipient, place) {
      for (const entry of usage.has(recipient) ? live() : []) if (entry.place === place) return isWaiting(entry)
      return false
    },
    settle(notification, status) {
      const ref = notificationRef(notification)
      const entry = entries.get(ref)
      if (entry !== undefined && (isWaiting(entry) || status === 'delivered')) end(ref, entry, status)
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
  get: async (id) => meant(ephemeral.get(id), await stored.get(id)),
  has: async (notification) => ephemeral.has(notification) || stored.has(notification),
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
