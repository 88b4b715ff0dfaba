import type { AtSign } from '../core/at-sign.ts'
import { fromOutboxKey, outboxKey, queueKey, tables } from './layout.ts'
import type { Draft } from './writer.ts'

/** How many notifications wait for a recipient, staged ones included. */
export const waitingFor = (draft: Draft, recipient: AtSign): number => draft.get(tables.memory, recipient) ?? 0

function count(draft: Draft, recipient: AtSign, change: 1 | -1): void {
  const waiting = waitingFor(draft, recipient) + change
  if (waiting > 0) draft.put(tables.memory, recipient, waiting)
  else draft.remove(tables.memory, recipient)
}

/** Puts a notification at the end of its recipient's outbox. @returns the key of the entry */
export function joinOutbox(draft: Draft, recipient: AtSign, id: string): string {
  const place = (draft.get(tables.memory, queueKey) ?? 0) + 1
  const key = outboxKey(recipient, place)
  draft.put(tables.memory, queueKey, place)
  draft.put(tables.outbox, key, id)
  count(draft, recipient, 1)
  return key
}

/** Takes an entry out of its outbox. */
export function leaveOutbox(draft: Draft, key: string): void {
  draft.remove(tables.outbox, key)
  count(draft, fromOutboxKey(key).recipient, -1)
}

/** Puts an entry back that damage has taken out of its outbox. */
export function rejoinOutbox(draft: Draft, key: string, id: string): void {
  const { recipient, place } = fromOutboxKey(key)
  draft.put(tables.memory, queueKey, Math.max(place, draft.get(tables.memory, queueKey) ?? 0))
  draft.put(tables.outbox, key, id)
  count(draft, recipient, 1)
}
