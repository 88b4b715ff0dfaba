import type { Notification, NotificationStatus } from '../core/notification.ts'
import type { Notifications } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import type { Database, Snapshot } from './database.ts'
import { moveExpiry } from './expiry-index.ts'
import { after, type NotificationState, notificationKey, sortable, tables } from './layout.ts'
import { leaveOutbox } from './outbox-index.ts'
import type { Draft } from './writer.ts'

type Reader = Pick<Draft, 'get'>

/** A notification with its present status, by id. */
export function readNotification(reader: Reader, id: string): Notification | undefined {
  const state = reader.get(tables.notificationStates, id)
  if (state === undefined) return undefined
  const body = reader.get(tables.notifications, notificationKey(state.at, id))
  return body === undefined ? undefined : { ...body, status: state.status }
}

/** Stores or replaces a notification; it keeps its place in the outbox as long as its recipient stays the same. */
export function putNotification(draft: Draft, notification: Notification): void {
  const { id, at, expiresAt, status, type, to } = notification
  const before = draft.tryGet(tables.notificationStates, id)
  const waits = before?.outbox?.startsWith(`${to}/`) === true ? before.outbox : undefined
  if (before?.outbox !== undefined && waits === undefined) leaveOutbox(draft, before.outbox)
  if (before !== undefined && sortable(before.at) !== sortable(at)) {
    draft.remove(tables.notifications, notificationKey(before.at, id))
  }
  draft.put(tables.notifications, notificationKey(at, id), notification)
  const state: NotificationState = { at, expiresAt, status, type }
  draft.put(tables.notificationStates, id, waits === undefined ? state : { ...state, outbox: waits })
  moveExpiry(draft, 'n', id, before?.expiresAt, expiresAt)
}

/** Changes the status of a notification that is still there. */
export function setStatus(draft: Draft, id: string, status: NotificationStatus): void {
  const state = draft.get(tables.notificationStates, id)
  if (state !== undefined) draft.put(tables.notificationStates, id, { ...state, status })
}

/** Removes a notification, from the outbox as well. */
export function removeNotification(draft: Draft, id: string, state: NotificationState): void {
  if (state.outbox !== undefined) leaveOutbox(draft, state.outbox)
  draft.remove(tables.notifications, notificationKey(state.at, id))
  draft.remove(tables.notificationStates, id)
  moveExpiry(draft, 'n', id, state.expiresAt, undefined)
}

/** Reads of committed notifications. */
export function createNotifications(database: Database, committed: Committed): Notifications {
  async function* within(snapshot: Snapshot, since: number): AsyncGenerator<Notification> {
    const range = since < 0 ? { snapshot } : { snapshot, gt: `${sortable(since)}/${after}` }
    for await (const [, body] of committed.rows(tables.notifications, range)) {
      const state = committed.tryGet(tables.notificationStates, body.id, snapshot)
      if (state?.at === body.at) yield { ...body, status: state.status }
    }
  }

  return {
    async get(id) {
      await database.ready()
      return readNotification(committed, id)
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
