import { type Identity, permitsNotification } from '../core/access.ts'
import { type AtSign, bareName } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { type Notification, notificationView } from '../core/notification.ts'
import type { Notifications } from '../core/storage.ts'
import type { Feed } from '../verbs/verb.ts'
import type { Subscription } from '../wire/reply.ts'

/** Feeds monitors. The write function gets whole lines with their LF. */
export interface FeedSource {
  /** @returns a function that ends the subscription */
  subscribe(subscription: Subscription, identity: Identity, write: (line: string) => void): () => void
}

interface Monitor {
  readonly subscription: Subscription
  readonly identity: Identity
  write(line: string): void
  /** Live notifications held back while the history is written; undefined once live. */
  held: Notification[] | undefined
}

const lineOf = (view: unknown): string => `notification: ${JSON.stringify(view)}\n`

/** Base Python sends different contents under one id, each of which is shown (page 04, section 4). */
const versionOf = ({ at, id }: Notification): string => `${at} ${id}`

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
  let pendingStats: { commitId: number; operation: 'update' | 'delete' } | undefined

  const deliver = (monitor: Monitor, notification: Notification): void => {
    if (wanted(monitor, notification, clock.now())) monitor.write(lineOf(notificationView(notification)))
  }

  const replay = async (monitor: Monitor, since: number): Promise<void> => {
    const written = new Set<string>()
    try {
      for await (const notification of notifications.since(since)) {
        if (!monitors.has(monitor)) return
        deliver(monitor, notification)
        written.add(versionOf(notification))
      }
    } catch (error) {
      if (!monitors.has(monitor)) return
      log('error', 'stored notifications could not be read for a monitor', { error })
    }
    const held = monitor.held ?? []
    monitor.held = undefined
    for (const notification of held) if (!written.has(versionOf(notification))) deliver(monitor, notification)
  }

  const writeStats = (commitId: number, operation: 'update' | 'delete'): void => {
    const key = `statsNotification.${self}`
    const line = lineOf({
      ...{ id: '-1', from: self, to: self, key, value: String(commitId), operation, epochMillis: clock.now() },
      ...{ messageType: 'MessageType.key', isEncrypted: false, metadata: null },
    })
    for (const { subscription, write } of monitors) {
      if (!subscription.strict || subscription.pattern?.(key) === true) write(line)
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
      for (const monitor of monitors) {
        if (monitor.held === undefined) deliver(monitor, notification)
        else monitor.held.push(notification)
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
      const monitor: Monitor = { subscription, identity, write, held: since === undefined ? undefined : [] }
      monitors.add(monitor)
      scheduleStats()
      if (since !== undefined) void replay(monitor, since)
      return () => monitors.delete(monitor)
    },
    close() {
      cancelStats?.()
      monitors.clear()
    },
  }
}
