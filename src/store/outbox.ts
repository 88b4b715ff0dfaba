import type { AtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import type { Notification, NotificationStatus, Priority } from '../core/notification.ts'
import type { Outbox, Waiting } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import type { Draft } from './draft.ts'
import {
  fromOutboxKey,
  type NotificationState,
  notificationKey,
  notificationRef,
  numberOf,
  outboxKey,
  placeOf,
  priorityOf,
  queueKey,
  tables,
  urgentKey,
  withdrawnKey,
} from './layout.ts'
import { named, putNotification } from './notifications.ts'
import { joinOutbox, leaveOutbox, stateAs, waitingFor, waitingOf, withdraw, withdrawals } from './outbox-index.ts'

/** Ends the wait of those that a newer one of the same notifier makes one too many. */
function supersede(draft: Draft, { to, notifier, latestN, strategy }: Notification): void {
  if (strategy !== 'latest') return
  const waiting = waitingOf(draft, to, notifier)
  for (const ref of waiting.slice(0, Math.max(waiting.length - latestN + 1, 0))) {
    const state = draft.get(tables.notificationStates, ref)
    if (state !== undefined) end(draft, ref, state, 'expired', withdraw)
  }
}

/** What was stored of a notification that waits, as long as `withdrawals` is the same. */
interface Known {
  readonly ref: string
  readonly state: NotificationState
  readonly withdrawals: number
}

/**
 * Stores a notification and queues it; the same one, if it waits already, stays as it is.
 * @param limit notifications that may wait for one recipient
 * @returns what waits, undefined when the same one does already
 * @throws AtError AT0006 when that many wait
 */
export function enqueue(draft: Draft, notification: Notification, limit: number): Waiting | undefined {
  const { to } = notification
  const name = named(draft, notification)
  if (name.before?.outbox !== undefined) return undefined
  supersede(draft, notification)
  if (waitingFor(draft, to) >= limit) {
    throw new AtError('AT0006', `${limit} notifications are waiting for ${to} already`)
  }
  const { ref } = name
  const { place, key } = joinOutbox(draft, notification, ref)
  const state = putNotification(draft, notification, name, key)
  const known: Known = { ref, state, withdrawals: withdrawals(draft) }
  return { place, notification, known }
}

function end(
  draft: Draft,
  ref: string,
  state: NotificationState,
  status: NotificationStatus,
  leave: typeof leaveOutbox,
): void {
  const { outbox, latest } = state
  if (outbox !== undefined) leave(draft, ref, { outbox, latest })
  draft.put(tables.notificationStates, ref, stateAs(state, status, undefined))
}

/**
 * Ends the wait of a notification. One that was superseded while it was on its way has been delivered all the same; but
 * nothing that is over by now becomes anything else.
 * @param given that of its `Waiting`, for whoever alone settles it
 */
export function settle(draft: Draft, notification: Notification, status: NotificationStatus, given?: unknown): void {
  const known = given as Known | undefined
  const ref = known?.ref ?? notificationRef(notification)
  const isSame = known?.withdrawals === withdrawals(draft)
  const state = isSame ? known.state : draft.get(tables.notificationStates, ref)
  if (state === undefined || (state.outbox === undefined && status !== 'delivered')) return
  end(draft, ref, state, status, known === undefined ? withdraw : leaveOutbox)
}

/** Reads of committed outboxes. */
export function createOutbox(committed: Committed): Outbox {
  /**
   * Undefined when the entry is one that a power cut has parted from its notification, and for one that is written and not
   * yet acknowledged: the numbers in memory do not know of it.
   */
  function waiting(key: string, ref: string, before: number): Waiting | undefined {
    const { place } = fromOutboxKey(key)
    if (numberOf(place) > (committed.memory.get(queueKey) ?? 0)) return undefined
    const state = committed.tryGet(tables.notificationStates, ref)
    if (state?.outbox !== key) return undefined
    const body = committed.tryGet(tables.notifications, notificationKey(state.at, ref))
    if (body === undefined) return undefined
    const known: Known = { ref, state, withdrawals: before }
    return { place, notification: { ...body, status: state.status }, known }
  }

  const withdrawn = (): number => committed.memory.get(withdrawnKey) ?? 0

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
      const before = withdrawn()
      for await (const [key, ref] of committed.rows(tables.outbox, range)) {
        const one = waiting(key, ref, before)
        if (one === undefined) continue
        if (priority !== undefined && priorityOf(one.place) !== priority) break
        found.push(one)
        chars += one.notification.key.length + (one.notification.value?.length ?? 0)
        if (found.length >= limit || chars >= maxChars) break
      }
      return found
    },
    // Whoever ends a wait removes the entry, in the same change as everything else.
    waits: (recipient, place, known) =>
      (known as Known | undefined)?.withdrawals === withdrawn() ||
      committed.tryGet(tables.outbox, outboxKey(recipient, place)) !== undefined,
  }
}
