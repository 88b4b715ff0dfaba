import type { Transaction } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import { putEnrollment } from './enrollments.ts'
import { holdingOf } from './holdings.ts'
import { notificationRef, tables } from './layout.ts'
import { hasNotification, putNotification, removeNotification } from './notifications.ts'
import { enqueue, settle } from './outbox.ts'
import { putRecord, removeRecord } from './records.ts'
import type { Draft } from './writer.ts'

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
export const createTransaction = ({ draft, committed, outboxPerPeer, assertRoom }: TransactionParts): Transaction => ({
  record: async (key) => draft.get(tables.records, key),
  async putRecord(key, record, change) {
    assertRoom()
    return putRecord(draft, committed, key.text, record, change)
  },
  removeRecord: (key, change) => removeRecord(draft, committed, key.text, change),
  hasNotification: async (notification) => hasNotification(draft, notification),
  async putNotification(notification) {
    assertRoom()
    putNotification(draft, notification)
  },
  async removeNotification(notification) {
    const ref = notificationRef(notification)
    const state = draft.tryGet(tables.notificationStates, ref)
    if (state !== undefined) removeNotification(draft, ref, state)
  },
  async enqueue(notification) {
    assertRoom()
    return enqueue(draft, notification, outboxPerPeer)
  },
  settle: async (notification, status, known) => settle(draft, notification, status, known),
  async putEnrollment(enrollment) {
    draft.mustSync()
    putEnrollment(draft, enrollment)
  },
  holding: async (kind, of) => holdingOf(draft, kind, of),
  secret: async (name) => draft.get(tables.secrets, name),
  async putSecret(name, value) {
    draft.mustSync()
    draft.put(tables.secrets, name, value)
  },
  async removeSecret(name) {
    draft.mustSync()
    draft.remove(tables.secrets, name)
  },
  putVisits: async (name, value) =>
    value === undefined ? draft.remove(tables.access, name) : draft.put(tables.access, name, value),
  onCommit: (task) => draft.onCommit(task),
})
