import type { Transaction } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import { putEnrollment } from './enrollments.ts'
import { holdingOf } from './holdings.ts'
import { notificationRef, tables } from './layout.ts'
import { hasNotification, putNotification, removeNotification } from './notifications.ts'
import { enqueue, settle } from './outbox.ts'
import { putRecord, removeRecord } from './records.ts'
import type { Draft } from './writer.ts'

/** The contract's view of one change. */
export const createTransaction = (draft: Draft, committed: Committed, outboxPerPeer: number): Transaction => ({
  record: async (key) => draft.get(tables.records, key),
  putRecord: (key, record, change) => putRecord(draft, committed, key.text, record, change),
  removeRecord: (key, change) => removeRecord(draft, committed, key.text, change),
  hasNotification: async (notification) => hasNotification(draft, notification),
  async putNotification(notification) {
    putNotification(draft, notification)
  },
  async removeNotification(notification) {
    const ref = notificationRef(notification)
    const state = draft.tryGet(tables.notificationStates, ref)
    if (state !== undefined) removeNotification(draft, ref, state)
  },
  enqueue: async (notification) => enqueue(draft, notification, outboxPerPeer),
  settle: async (notification, status) => settle(draft, notification, status),
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
