import type { Notification } from '../core/notification.ts'
import type { Transaction } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import type { Draft } from './draft.ts'
import { putEnrollment } from './enrollments.ts'
import { holdingOf } from './holdings.ts'
import { tables } from './layout.ts'
import { type Named, named, putNotification, removeNotification } from './notifications.ts'
import { enqueue, settle } from './outbox.ts'
import { putRecord, removeRecord } from './records.ts'

/** What a change works on. */
export interface TransactionParts {
  readonly draft: Draft
  readonly committed: Committed
  /** Notifications that may wait for one recipient. */
  readonly outboxPerPeer: number
  /** Asked before anything that makes the store grow. @throws AtError AT0002 */
  readonly assertRoom: () => void
}

/** The contract's view of one change. Deletes, marks and what access depends on are taken on a full disk too. */
export function createTransaction({ draft, committed, outboxPerPeer, assertRoom }: TransactionParts): Transaction {
  let asked: { readonly notification: Notification; readonly name: Named } | undefined
  /** One notification is asked for and then stored: it is named and looked up once. */
  const nameOf = (notification: Notification): Named => {
    const known = asked?.notification === notification ? asked.name : undefined
    asked = undefined
    return known ?? named(draft, notification)
  }

  return {
    record: (key) => draft.get(tables.records, key),
    putRecord(key, record, change) {
      assertRoom()
      return putRecord(draft, committed, key.text, record, change)
    },
    removeRecord: (key, change) => removeRecord(draft, committed, key.text, change),
    hasNotification(notification) {
      const name = nameOf(notification)
      asked = { notification, name }
      return name.before !== undefined
    },
    putNotification(notification) {
      assertRoom()
      putNotification(draft, notification, nameOf(notification))
    },
    removeNotification(notification) {
      const { ref, before } = nameOf(notification)
      if (before !== undefined) removeNotification(draft, ref, before)
    },
    enqueue(notification) {
      assertRoom()
      asked = undefined
      return enqueue(draft, notification, outboxPerPeer)
    },
    settle(notification, status, known) {
      asked = undefined
      settle(draft, notification, status, known)
    },
    putEnrollment(enrollment) {
      draft.mustSync()
      putEnrollment(draft, enrollment)
    },
    holding: (kind, of) => holdingOf(draft, kind, of),
    secret: (name) => draft.get(tables.secrets, name),
    putSecret(name, value) {
      draft.mustSync()
      draft.put(tables.secrets, name, value)
    },
    removeSecret(name) {
      draft.mustSync()
      draft.remove(tables.secrets, name)
    },
    putVisits: (name, value) =>
      value === undefined ? draft.remove(tables.access, name) : draft.put(tables.access, name, value),
    onCommit: (task) => draft.onCommit(task),
  }
}
