import { randomUUID } from 'node:crypto'
import { type AtKey, atServerNamespace, makeAtKey } from '../core/at-key.ts'
import { type AtSign, bareName } from '../core/at-sign.ts'
import { limits } from '../core/limits.ts'
import { mergeMetadata } from '../core/metadata.ts'
import type { Notification } from '../core/notification.ts'
import type { Store, Transaction } from '../core/storage.ts'

/** Monitors and those who log in soon hear of a change; everybody else finds its record (page 07, section 8). */
const noticeMs = 300_000

/** What clients of released SDKs read: `AtSignPKChangedEvent` of at_commons 5.2. */
const eventOf = (other: AtSign): string =>
  JSON.stringify({ category: 'atProtocol', name: 'atsign_pk_changed', data: { atSign: other } })

/** When a key changed, and since when the one before it was known; milliseconds since the epoch. */
interface Change {
  readonly now: number
  readonly before: number
}

/** Runs within the change that gives the copy of another atSign's encryption key its new value. */
export type OnKeyChange = (tx: Transaction, other: AtSign, change: Change) => Promise<void>

/**
 * What this atServer does when another atSign has a new encryption key: an event for its own clients, as a record that they
 * may read and not write and as a notification, and a sign for older clients, which cut a new key when theirs is gone.
 * @param options `received` shows monitors what was stored for them
 */
export function createKeyChange(options: {
  self: AtSign
  store: Pick<Store, 'records'>
  received: (notification: Notification) => void
}): OnKeyChange {
  const { self, store, received } = options

  const keyOf = (micros: number): AtKey => makeAtKey({ entity: `${micros}.events.${atServerNamespace}`, owner: self })

  /** A name for an event of now; two in one millisecond have names of their own. */
  const newKey = async (tx: Transaction, now: number): Promise<AtKey> => {
    let micros = now * 1_000
    while ((await tx.record(keyOf(micros).text)) !== undefined) micros++
    return keyOf(micros)
  }

  /** Removes the event of a change before this one, so that there is one of each atSign. */
  const forget = async (tx: Transaction, value: string, { before, now }: Change): Promise<void> => {
    for (let micros = before * 1_000; ; micros++) {
      const record = await tx.record(keyOf(micros).text)
      if (record === undefined) return
      if (record.value !== value) continue
      await tx.removeRecord(keyOf(micros), { opTime: now, commit: true, operation: '-' })
      return
    }
  }

  const noticeOf = (key: AtKey, value: string, now: number): Notification => ({
    ...{ id: randomUUID(), from: self, to: self, key: key.text, value, operation: 'update', messageType: 'key' },
    ...{ type: 'self', priority: 'low', strategy: 'all', latestN: 1, notifier: 'SYSTEM', metadata: {} },
    ...{ at: now, expiresAt: now + noticeMs, status: 'delivered', isEncrypted: false },
  })

  const tell = async (tx: Transaction, other: AtSign, change: Change): Promise<void> => {
    const { now } = change
    const value = eventOf(other)
    await forget(tx, value, change)
    const key = await newKey(tx, now)
    const metadata = mergeMetadata(undefined, {}, { by: self, now, newValue: true })
    await tx.putRecord(key, { value, metadata }, { opTime: now, commit: true, operation: '*' })
    const notice = noticeOf(key, value, now)
    await tx.putNotification(notice)
    tx.onCommit(() => received(notice))
  }

  /**
   * Sets the key pair's own copy aside, so that clients cut another one that the recipient can open (page 03, section 12).
   * Of many such changes the latest are kept.
   */
  const retirePairKey = async (tx: Transaction, recipient: AtSign, now: number): Promise<void> => {
    const key = makeAtKey({ entity: `shared_key.${bareName(recipient)}`, owner: self })
    const record = await tx.record(key.text)
    if (record === undefined) return
    const change = { opTime: now, commit: true }
    const { value, metadata } = record
    await tx.removeRecord(key, { ...change, operation: '-' })
    const retired = makeAtKey({ entity: `${key.entity}.until.${now}`, owner: self })
    await tx.putRecord(retired, { value, metadata }, { ...change, operation: '*' })
    const earlier: string[] = []
    for await (const [text] of store.records.entries(`${key.entity}.until.`)) earlier.push(text)
    for (const text of earlier.slice(0, Math.max(0, earlier.length + 1 - limits.retiredPairKeys))) {
      const old = makeAtKey({ entity: text.slice(0, -self.length), owner: self })
      await tx.removeRecord(old, { ...change, operation: '-' })
    }
  }

  return async (tx, other, change) => {
    await tell(tx, other, change)
    await retirePairKey(tx, other, change.now)
  }
}
