import { type Identity, permitsNotification } from '../core/access.ts'
import { type AtSign, bareName } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { type Notification, notificationView } from '../core/notification.ts'
import { jsonLine } from '../core/one-line.ts'
import type { Notifications } from '../core/storage.ts'
import { inTurns } from '../core/turns.ts'
import { notificationRef } from '../store/layout.ts'
import type { Feed } from '../verbs/verb.ts'
import type { Subscription } from '../wire/reply.ts'

/**
 * Takes whole lines with their LF. The promise, if there is one, resolves when the client has read so much that more of
 * the history may follow.
 */
export type WriteLine = (line: string) => Promise<void> | undefined

/** Feeds monitors. */
export interface FeedSource {
  /** @returns a function that ends the subscription */
  subscribe(subscription: Subscription, identity: Identity, write: WriteLine): () => void
}

interface Monitor {
  readonly subscription: Subscription
  readonly identity: Identity
  readonly write: WriteLine
  /** Live notifications held back while the history is written, by version; undefined once live. */
  held: Map<string, Notification> | undefined
  heldChars: number
  /** More came than is held back: the store is read once more. */
  overflowed: boolean
  /** While the history is written: the time up to which it was. */
  shownUntil: number
  /** Resolves when the monitor has left. */
  readonly left: Promise<void>
}

const lineOf = (view: unknown): string => `notification: ${jsonLine(view)}\n`

/** Others may choose the same id, and base Python sends different contents under one, each of which is shown. */
const versionOf = (notification: Notification): string => `${notification.at} ${notificationRef(notification)}`

/** Live notifications held back for one monitor, and their characters. */
const mostHeld = 1_000
const mostHeldChars = 1_048_576
/** Versions remembered of what was written last, which are looked at again in the next reading. */
const mostWritten = 8_192
/** A notification is visible to readers so long after its time at most. */
const commitMs = 1_000

/** Reference: statsNotificationJobTimeInterval. It also keeps a monitor's connection from being idle. */
const statsEveryMs = 15_000

function wanted(monitor: Monitor, notification: Notification, now: number): boolean {
  const { subscription, identity } = monitor
  if (notification.type === 'sent' || notification.expiresAt <= now) return false
  if (notification.type === 'self' && !subscription.selfNotifications) return false
  if (permitsNotification(identity, 'read', notification, 'monitor') !== undefined) return false
  const { pattern } = subscription
  return pattern === undefined || pattern(notification.key) || pattern(bareName(notification.from))
}

/**
 * Notifications for the monitors of one atSign, in three phases each: history (stored notifications later than the asked
 * time), cutover (what arrived meanwhile, without those already written), live. Nothing is missed and nothing comes twice.
 */
export function createFeed(options: {
  self: AtSign
  clock: Clock
  notifications: Notifications
  lastCommitId: () => number
  log: Log
}): Feed & FeedSource & { close(): void } {
  const { self, clock, notifications, log } = options
  const monitors = new Set<Monitor>()
  let cancelStats: (() => void) | undefined
  /** Everything up to this time was announced: times grow in the order of commits, which what lives in memory keeps too. */
  let announcedUntil = clock.now() - 1
  let pendingStats: { commitId: number; operation: 'update' | 'delete' } | undefined

  const deliver = (
    monitor: Monitor,
    notification: Notification,
    line = () => lineOf(notificationView(notification)),
  ): Promise<void> | undefined => (wanted(monitor, notification, clock.now()) ? monitor.write(line()) : undefined)

  /** Writes what is stored, as fast as the client reads. @returns the time of the latest */
  const writeHistory = async (monitor: Monitor, since: number, written: Set<string>): Promise<number> => {
    let latest = since
    for await (const notification of inTurns(notifications.since(since), clock)) {
      if (!monitors.has(monitor)) return latest
      latest = notification.at
      monitor.shownUntil = latest
      const version = versionOf(notification)
      monitor.held?.delete(version)
      if (written.has(version)) continue
      written.add(version)
      const oldest = written.values().next()
      if (written.size > mostWritten && !oldest.done) written.delete(oldest.value)
      const read = deliver(monitor, notification)
      if (read !== undefined) await Promise.race([read, monitor.left])
    }
    return latest
  }

  const replay = async (monitor: Monitor, since: number): Promise<void> => {
    const written = new Set<string>()
    try {
      for (let from = since; ; ) {
        monitor.overflowed = false
        const latest = await writeHistory(monitor, from, written)
        if (!monitor.overflowed || !monitors.has(monitor)) break
        from = Math.max(latest - commitMs, since)
      }
    } catch (error) {
      if (!monitors.has(monitor)) return
      log('error', 'stored notifications could not be read for a monitor', { error })
    }
    const held = monitor.held ?? new Map<string, Notification>()
    monitor.held = undefined
    for (const [version, notification] of held) if (!written.has(version)) void deliver(monitor, notification)
  }

  /** Keeps a live notification for the end of the history. */
  const hold = (monitor: Monitor, held: Map<string, Notification>, notification: Notification): void => {
    if (monitor.overflowed) return
    held.set(versionOf(notification), notification)
    monitor.heldChars += notification.key.length + (notification.value?.length ?? 0)
    if (held.size <= mostHeld && monitor.heldChars <= mostHeldChars) return
    held.clear()
    monitor.heldChars = 0
    monitor.overflowed = true
  }

  /** Base Java and Python resume from this time (page 04, section 9), so nothing of it or before may be missing. */
  const statsTime = ({ held, shownUntil }: Monitor): number =>
    held === undefined ? announcedUntil : Math.min(shownUntil, announcedUntil)

  const writeStats = (commitId: number, operation: 'update' | 'delete'): void => {
    const key = `statsNotification.${self}`
    for (const monitor of monitors) {
      const { subscription, write } = monitor
      if (subscription.strict && subscription.pattern?.(key) !== true) continue
      const line = lineOf({
        ...{ id: '-1', from: self, to: self, key, value: String(commitId), operation, epochMillis: statsTime(monitor) },
        ...{ messageType: 'MessageType.key', isEncrypted: false, metadata: null },
      })
      void write(line)
    }
  }

  const scheduleStats = (): void => {
    cancelStats ??= clock.after(statsEveryMs, () => {
      cancelStats = undefined
      if (monitors.size === 0) return
      writeStats(options.lastCommitId(), 'update')
      scheduleStats()
    })
  }

  return {
    received(notification) {
      announcedUntil = Math.max(announcedUntil, notification.at)
      let line: string | undefined
      const once = (): string => {
        line ??= lineOf(notificationView(notification))
        return line
      }
      for (const monitor of monitors) {
        if (monitor.held === undefined) void deliver(monitor, notification, once)
        else hold(monitor, monitor.held, notification)
      }
    },
    // Many changes in one turn make one line: clients only want the newest id.
    changed(commitId, operation) {
      if (monitors.size === 0) return
      if (pendingStats === undefined) {
        setImmediate(() => {
          if (pendingStats !== undefined) writeStats(pendingStats.commitId, pendingStats.operation)
          pendingStats = undefined
        })
      }
      pendingStats = { commitId, operation }
    },
    subscribe(subscription, identity, write) {
      const { since } = subscription
      let leave = (): void => {}
      const left = new Promise<void>((resolve) => {
        leave = resolve
      })
      const held = since === undefined ? undefined : new Map<string, Notification>()
      const monitor: Monitor = {
        ...{ subscription, identity, write, held, heldChars: 0, overflowed: false, left },
        shownUntil: since ?? 0,
      }
      monitors.add(monitor)
      scheduleStats()
      if (since !== undefined) void replay(monitor, since)
      return () => {
        monitors.delete(monitor)
        leave()
      }
    },
    close() {
      cancelStats?.()
      monitors.clear()
    },
  }
}
