import type { AtSign } from '../core/at-sign.ts'
import type { Notification, NotificationStatus } from '../core/notification.ts'
import type { Draft } from './draft.ts'
import {
  fromOutboxKey,
  latestKey,
  type NotificationState,
  numberOf,
  outboxKey,
  placeOf,
  priorityOf,
  queueKey,
  tables,
  urgentKey,
  withdrawnKey,
} from './layout.ts'

/** What is known of a notification that waits. */
export type Queued = Pick<NotificationState, 'latest'> & { readonly outbox: string }

/** A state after its next step. Spelled out, so that all states have the same members in memory: that is several times as quick. */
export const stateAs = (
  { at, expiresAt, type, bytes, latest, sender }: NotificationState,
  status: NotificationStatus,
  outbox: string | undefined,
): NotificationState => ({ at, expiresAt, status, type, bytes, latest, sender, outbox })

/** How many notifications wait for a recipient, staged ones included. */
export const waitingFor = (draft: Draft, recipient: AtSign): number => draft.get(tables.memory, recipient) ?? 0

/** Those that wait by the strategy `latest` of a notifier, the oldest first. */
export const waitingOf = (draft: Draft, recipient: AtSign, notifier: string): readonly string[] =>
  draft.get(tables.latest, latestKey(recipient, notifier)) ?? []

function add(draft: Draft, key: string, change: 1 | -1): void {
  const number = (draft.get(tables.memory, key) ?? 0) + change
  if (number > 0) draft.put(tables.memory, key, number)
  else draft.remove(tables.memory, key)
}

function count(draft: Draft, recipient: AtSign, place: number, change: 1 | -1): void {
  add(draft, recipient, change)
  const priority = priorityOf(place)
  if (priority !== 'low') add(draft, urgentKey(recipient, priority), change)
}

function joinLatest(draft: Draft, recipient: AtSign, ref: string, notifier: string | undefined): void {
  if (notifier === undefined) return
  draft.put(tables.latest, latestKey(recipient, notifier), [...waitingOf(draft, recipient, notifier), ref])
}

/** Puts a notification at the end of its recipient's outbox; its state is up to the caller. @returns its place and the key of its entry */
export function joinOutbox(
  draft: Draft,
  { to: recipient, priority, strategy, notifier }: Notification,
  ref: string,
): { place: number; key: string } {
  const number = (draft.get(tables.memory, queueKey) ?? 0) + 1
  const place = placeOf(priority, number)
  const key = outboxKey(recipient, place)
  draft.put(tables.memory, queueKey, number)
  draft.put(tables.outbox, key, ref)
  count(draft, recipient, place, 1)
  if (strategy === 'latest') joinLatest(draft, recipient, ref, notifier)
  return { place, key }
}

/** Takes an entry out of its outbox; the state of the notification is up to the caller. */
export function leaveOutbox(draft: Draft, ref: string, state: Queued): void {
  const { recipient, place } = fromOutboxKey(state.outbox)
  draft.remove(tables.outbox, state.outbox)
  count(draft, recipient, place, -1)
  if (state.latest === undefined) return
  const left = waitingOf(draft, recipient, state.latest).filter((other) => other !== ref)
  const key = latestKey(recipient, state.latest)
  if (left.length > 0) draft.put(tables.latest, key, left)
  else draft.remove(tables.latest, key)
}

/** The same for a wait that whoever delivers does not end: what was read of it is out of date. */
export function withdraw(draft: Draft, ref: string, state: Queued): void {
  add(draft, withdrawnKey, 1)
  leaveOutbox(draft, ref, state)
}

/** How many waits were ended like that, staged ones included. */
export const withdrawals = (draft: Draft): number => draft.get(tables.memory, withdrawnKey) ?? 0

/** Puts an entry back that damage has taken out of its outbox. */
export function rejoinOutbox(draft: Draft, ref: string, state: Queued): void {
  const { recipient, place } = fromOutboxKey(state.outbox)
  draft.put(tables.memory, queueKey, Math.max(numberOf(place), draft.get(tables.memory, queueKey) ?? 0))
  draft.put(tables.outbox, state.outbox, ref)
  count(draft, recipient, place, 1)
  joinLatest(draft, recipient, ref, state.latest)
}

/**
 * Counts what waits for whom, as it lies in the database.
 * @param numbers gets the counts, under the keys of `tables.memory`
 * @returns by `latestKey` who waits by the strategy `latest`, the oldest first; and keys of entries whose notification does
 *   not know of them
 */
export async function readOutbox(
  entries: AsyncIterable<readonly [key: string, ref: string]>,
  stateOf: (ref: string) => NotificationState | undefined,
  numbers: Map<string, number>,
): Promise<{ lists: Map<string, string[]>; strays: string[] }> {
  const strays: string[] = []
  const waiting = new Map<string, { number: number; ref: string }[]>()
  const increment = (key: string): void => void numbers.set(key, (numbers.get(key) ?? 0) + 1)
  for await (const [key, ref] of entries) {
    const { recipient, place } = fromOutboxKey(key)
    const [number, priority] = [numberOf(place), priorityOf(place)]
    numbers.set(queueKey, Math.max(number, numbers.get(queueKey) ?? 0))
    const state = stateOf(ref)
    if (state?.outbox !== key) {
      strays.push(key)
      continue
    }
    increment(recipient)
    if (priority !== 'low') increment(urgentKey(recipient, priority))
    if (state.latest === undefined) continue
    const name = latestKey(recipient, state.latest)
    const list = waiting.get(name) ?? []
    list.push({ number, ref })
    waiting.set(name, list)
  }
  const inOrder = [...waiting].map(([list, ones]): [string, string[]] => [
    list,
    ones.sort((one, other) => one.number - other.number).map(({ ref }) => ref),
  ])
  return { lists: new Map(inOrder), strays }
}
