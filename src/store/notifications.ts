import type { Notification } from '../core/notification.ts'
import type { Notifications } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import type { Database, Snapshot } from './database.ts'
import type { Draft } from './draft.ts'
import { moveExpiry } from './expiry-index.ts'
import { bytesOfNotification, changeHolding, changeNotificationLog } from './holdings.ts'
import {
  after,
  type NotificationState,
  notificationKey,
  notificationRef,
  refOfKey,
  refPrefix,
  sortable,
  tables,
} from './layout.ts'
import { withdraw } from './outbox-index.ts'

/** The name of a notification, and the state that is found under it. */
export interface Named {
  /** Its `notificationRef`. */
  readonly ref: string
  readonly before: NotificationState | undefined
}

/** @returns what is found under the name of a notification, staged changes included */
export function named(draft: Draft, notification: Notification): Named {
  const ref = notificationRef(notification)
  return { ref, before: draft.tryGet(tables.notificationStates, ref) }
}

/** The state of a notification that is to be stored. @param outbox key of its outbox entry, if it is to wait */
export function stateOf(notification: Notification, outbox?: string): NotificationState {
  const { at, expiresAt, status, type, strategy, notifier, from, to } = notification
  return {
    at,
    expiresAt,
    status,
    type,
    bytes: bytesOfNotification(notification),
    latest: type === 'sent' && strategy === 'latest' ? notifier : undefined,
    sender: type === 'received' && from !== to ? from : undefined,
    outbox,
  }
}

/**
 * Stores a notification, or replaces the same one, which then waits no more.
 * @param outbox as `stateOf`
 * @returns its state
 */
export function putNotification(
  draft: Draft,
  notification: Notification,
  { ref, before }: Named,
  outbox?: string,
): NotificationState {
  const state = stateOf(notification, outbox)
  if (before !== undefined) removeNotification(draft, ref, before)
  draft.put(tables.notifications, notificationKey(notification.at, ref), notification)
  draft.put(tables.notificationStates, ref, state)
  moveExpiry(draft, 'n', ref, undefined, notification.expiresAt)
  changeNotificationLog(draft, 1, state.bytes ?? 0)
  if (state.sender !== undefined) changeHolding(draft, 'notifications', state.sender, 1, state.bytes ?? 0)
  return state
}

/** Removes a notification, from the outbox as well. */
export function removeNotification(draft: Draft, ref: string, state: NotificationState): void {
  const { at, expiresAt, sender, bytes = 0 } = state
  if (state.outbox !== undefined) withdraw(draft, ref, { ...state, outbox: state.outbox })
  draft.remove(tables.notifications, notificationKey(at, ref))
  draft.remove(tables.notificationStates, ref)
  moveExpiry(draft, 'n', ref, expiresAt, undefined)
  changeNotificationLog(draft, -1, -bytes)
  if (sender !== undefined) changeHolding(draft, 'notifications', sender, -1, -bytes)
}

/** Reads of committed notifications. */
export function createNotifications(database: Database, committed: Committed): Notifications {
  async function* within(snapshot: Snapshot, since: number): AsyncGenerator<Notification> {
    const range = since < 0 ? { snapshot } : { snapshot, gt: `${sortable(since)}/${after}` }
    for await (const [key, body] of committed.rows(tables.notifications, range)) {
      const state = committed.tryGet(tables.notificationStates, refOfKey(key), snapshot)
      if (state?.at === body.at) yield { ...body, status: state.status }
    }
  }

  /** The latest whose ref begins so. @throws AtError AT0002 when bytes of one of them are damaged */
  async function latest(start: string): Promise<Notification | undefined> {
    let found: { readonly ref: string; readonly state: NotificationState } | undefined
    const { prefix } = tables.notificationStates
    for await (const key of database.keys({ prefix: prefix + start })) {
      const ref = key.slice(prefix.length)
      const state = committed.get(tables.notificationStates, ref)
      if (state !== undefined && state.at >= (found?.state.at ?? state.at)) found = { ref, state }
    }
    if (found === undefined) return undefined
    const body = committed.get(tables.notifications, notificationKey(found.state.at, found.ref))
    return body === undefined ? undefined : { ...body, status: found.state.status }
  }

  return {
    async get(id) {
      await database.ready()
      return (await latest(refPrefix(id, 's'))) ?? latest(refPrefix(id, 'r'))
    },
    async has(notification) {
      await database.ready()
      return committed.tryGet(tables.notificationStates, notificationRef(notification)) !== undefined
    },
    async *since(since) {
      await database.ready()
      const snapshot = database.snapshot()
      try {
        yield* within(snapshot, since)
      } finally {
        await snapshot.close()
      }
    },
    async count() {
      const counts = { total: 0, sent: 0, received: 0 }
      for await (const [, { type }] of committed.rows(tables.notificationStates)) {
        counts.total += 1
        if (type === 'sent') counts.sent += 1
        if (type === 'received') counts.received += 1
      }
      return counts
    },
  }
}
