import type { AtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import type { Notification, NotificationStatus, Priority } from '../core/notification.ts'
import type { Outbox, Waiting } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import {
  fromOutboxKey,
  notificationKey,
  notificationRef,
  outboxKey,
  placeOf,
  priorityOf,
  tables,
  urgentKey,
} from './layout.ts'
import { putNotification } from './notifications.ts'
import { joinOutbox, leaveOutbox, waitingFor, waitingOf } from './outbox-index.ts'
import type { Draft } from './writer.ts'

/** Ends the wait of those that a newer one of the same notifier makes one too many. */
function supersede(draft: Draft, { to, notifier, latestN, strategy }: Notification): void {
  if (strategy !== 'latest') return
  const waiting = waitingOf(draft, to, notifier)
  for (const ref of waiting.slice(0, Math.max(waiting.length - latestN + 1, 0))) end(draft, ref, 'expired')
}

/**
 * Stores a notification and queues it; the same one, if it waits already, stays as it is.
 * @param limit notifications that may wait for one recipient
 * @throws AtError AT0006 when that many wait
 */
export function enqueue(draft: Draft, notification: Notification, limit: number): void {
  const { to } = notification
  if (draft.tryGet(tables.notificationStates, notificationRef(notification))?.outbox !== undefined) return
  supersede(draft, notification)
  if (waitingFor(draft, to) >= limit) {
    throw new AtError('AT0006', `${limit} notifications are waiting for ${to} already`)
  }
  const { ref, state } = putNotification(draft, notification)
  joinOutbox(draft, notification, ref, state)
}

function end(draft: Draft, ref: string, status: NotificationStatus): void {
  const state = draft.get(tables.notificationStates, ref)
  if (state === undefined) return
  const { outbox, ...rest } = state
  if (outbox !== undefined) leaveOutbox(draft, ref, { ...rest, outbox })
  draft.put(tables.notificationStates, ref, { ...rest, status })
}

/**
 * Ends the wait of a notification. One that was superseded while it was on its way has been delivered all the same; but
 * nothing that is over by now becomes anything else.
 */
export function settle(draft: Draft, notification: Notification, status: NotificationStatus): void {
  const ref = notificationRef(notification)
  const waits = draft.get(tables.notificationStates, ref)?.outbox !== undefined
  if (waits || status === 'delivered') end(draft, ref, status)
}

/** Reads of committed outboxes. */
export function createOutbox(committed: Committed): Outbox {
  /** Undefined when the entry is one that a power cut has parted from its notification. */
  function waiting(key: string, ref: string): Waiting | undefined {
    const state = committed.tryGet(tables.notificationStates, ref)
    if (state?.outbox !== key) return undefined
    const body = committed.tryGet(tables.notifications, notificationKey(state.at, ref))
    if (body === undefined) return undefined
    return { place: fromOutboxKey(key).place, notification: { ...body, status: state.status } }
  }

  /** Spares a read of the database for what nobody uses. */
  const holds = (recipient: AtSign, priority: Priority | undefined): boolean => {
    const { memory } = committed
    if (priority === undefined) return memory.has(recipient)
    if (priority !== 'low') return memory.has(urgentKey(recipient, priority))
    const urgent = (['medium', 'high'] as const).map((other) => memory.get(urgentKey(recipient, other)) ?? 0)
    return (memory.get(recipient) ?? 0) > urgent.reduce((sum, count) => sum + count)
  }

  return {
    async recipients() {
      return [...committed.memory.keys()].filter((key): key is AtSign => key.startsWith('@'))
    },
    async pending(recipient, limit, behind = 0, maxChars = Number.POSITIVE_INFINITY, priority) {
      const found: Waiting[] = []
      let chars = 0
      if (limit <= 0 || !holds(recipient, priority)) return found
      const from = priority === undefined ? behind : Math.max(behind, placeOf(priority, 0))
      const range = { start: `${recipient}/`, gt: outboxKey(recipient, from) }
      for await (const [key, ref] of committed.rows(tables.outbox, range)) {
        const one = waiting(key, ref)
        if (one === undefined) continue
        if (priority !== undefined && priorityOf(one.place) !== priority) break
        found.push(one)
        chars += one.notification.key.length + (one.notification.value?.length ?? 0)
        if (found.length >= limit || chars >= maxChars) break
      }
      return found
    },
    // Whoever ends a wait removes the entry, in the same change as everything else.
    waits: (recipient, place) => committed.tryGet(tables.outbox, outboxKey(recipient, place)) !== undefined,
  }
}
