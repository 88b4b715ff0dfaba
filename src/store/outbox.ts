import type { AtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import type { Notification, NotificationStatus } from '../core/notification.ts'
import type { Outbox } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import { notificationKey, tables } from './layout.ts'
import { putNotification } from './notifications.ts'
import { joinOutbox, leaveOutbox, waitingFor } from './outbox-index.ts'
import type { Draft } from './writer.ts'

/**
 * Stores a notification and queues it; one that already waits for the same recipient keeps its place.
 * @param limit notifications that may wait for one recipient
 * @throws AtError AT0006 when that many wait
 */
export function enqueue(draft: Draft, notification: Notification, limit: number): void {
  const { id, to } = notification
  const waits = draft.tryGet(tables.notificationStates, id)?.outbox?.startsWith(`${to}/`) === true
  if (!waits && waitingFor(draft, to) >= limit) {
    throw new AtError('AT0006', `${limit} notifications are waiting for ${to} already`)
  }
  putNotification(draft, notification)
  const state = draft.get(tables.notificationStates, id)
  if (waits || state === undefined) return
  draft.put(tables.notificationStates, id, { ...state, outbox: joinOutbox(draft, to, id) })
}

/** Ends the wait of a notification. One that was replaced meanwhile waits on: what was sent is the older one. */
export function settle(draft: Draft, { id, at }: Notification, status: NotificationStatus): void {
  const state = draft.get(tables.notificationStates, id)
  if (state === undefined || state.at !== at) return
  const { outbox, ...rest } = state
  if (outbox !== undefined) leaveOutbox(draft, outbox)
  draft.put(tables.notificationStates, id, { ...rest, status })
}

/** Reads of committed outboxes. */
export function createOutbox(committed: Committed): Outbox {
  /** Undefined when the entry is one that a power cut has parted from its notification. */
  function waiting(key: string, id: string): Notification | undefined {
    const state = committed.tryGet(tables.notificationStates, id)
    if (state?.outbox !== key) return undefined
    const body = committed.tryGet(tables.notifications, notificationKey(state.at, id))
    return body === undefined ? undefined : { ...body, status: state.status }
  }

  return {
    async recipients() {
      return [...committed.memory.keys()].filter((key): key is AtSign => key.startsWith('@'))
    },
    async pending(recipient, limit, skip) {
      const found: Notification[] = []
      if (!committed.memory.has(recipient) || limit <= 0) return found
      for await (const [key, id] of committed.rows(tables.outbox, { start: `${recipient}/` })) {
        const notification = skip?.has(id) === true ? undefined : waiting(key, id)
        if (notification !== undefined) found.push(notification)
        if (found.length >= limit) break
      }
      return found
    },
  }
}
