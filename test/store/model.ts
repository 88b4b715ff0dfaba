import type { Metadata } from '../../src/core/metadata.ts'
import type { Notification, NotificationStatus } from '../../src/core/notification.ts'
import type { CommitOperation } from '../../src/core/record.ts'
import { expiryKey } from '../../src/store/layout.ts'

/** What a store should hold, in plain Maps: the specification of the property test. */
export interface Model {
  readonly records: Map<string, { value: string | null; metadata: Metadata }>
  readonly log: Map<string, { commitId: number; operation: CommitOperation }>
  readonly notifications: Map<string, Notification>
  /** Ids in queue order, by recipient. */
  readonly outbox: Map<string, string[]>
  readonly enrollments: Map<string, number | undefined>
  lastId: number
}

export const emptyModel = (): Model => ({
  ...{ records: new Map(), log: new Map(), notifications: new Map(), outbox: new Map(), enrollments: new Map() },
  lastId: -1,
})

/** @returns the commit id that the store must answer */
export function logInModel(model: Model, key: string, operation: CommitOperation, commit: boolean): number {
  model.log.delete(key)
  if (!commit) return -1
  model.lastId += 1
  model.log.set(key, { commitId: model.lastId, operation })
  return model.lastId
}

function leave(model: Model, id: string, keep?: string): void {
  for (const [recipient, ids] of model.outbox) {
    const left = recipient === keep ? ids : ids.filter((other) => other !== id)
    if (left.length > 0) model.outbox.set(recipient, left)
    else model.outbox.delete(recipient)
  }
}

export function putInModel(model: Model, notification: Notification): void {
  leave(model, notification.id, notification.to)
  model.notifications.set(notification.id, notification)
}

/** @returns false when the outbox is full */
export function enqueueInModel(model: Model, notification: Notification, limit: number): boolean {
  const waiting = model.outbox.get(notification.to) ?? []
  const waits = waiting.includes(notification.id)
  if (!waits && waiting.length >= limit) return false
  putInModel(model, notification)
  if (!waits) model.outbox.set(notification.to, [...waiting, notification.id])
  return true
}

export function settleInModel(model: Model, id: string, status: NotificationStatus): void {
  const notification = model.notifications.get(id)
  if (notification === undefined) return
  leave(model, id)
  model.notifications.set(id, { ...notification, status })
}

/** Everything that can expire, as keys of the expiry index. */
export function expiryOf(model: Model): string[] {
  const keys: string[] = []
  for (const [key, { metadata }] of model.records) {
    if (metadata.expiresAt !== undefined) keys.push(expiryKey(metadata.expiresAt, 'r', key))
  }
  for (const [id, { expiresAt }] of model.notifications) keys.push(expiryKey(expiresAt, 'n', id))
  for (const [id, expiresAt] of model.enrollments) {
    if (expiresAt !== undefined) keys.push(expiryKey(expiresAt, 'e', id))
  }
  return keys.sort()
}

/** @returns how many things went */
export function sweepModel(model: Model, now: number, isLogged: (key: string) => boolean): number {
  const due = expiryOf(model).filter((entry) => entry < expiryKey(now, 'e', ''))
  for (const entry of due) {
    const [, kind, ...rest] = entry.split('/')
    const target = rest.join('/')
    if (kind === 'r') {
      model.records.delete(target)
      logInModel(model, target, '-', isLogged(target))
    } else if (kind === 'n') {
      leave(model, target)
      model.notifications.delete(target)
    } else model.enrollments.delete(target)
  }
  return due.length
}
