import type { Metadata } from '../../src/core/metadata.ts'
import type { Notification, NotificationStatus } from '../../src/core/notification.ts'
import type { CommitOperation } from '../../src/core/record.ts'
import { expiryKey, notificationRef } from '../../src/store/layout.ts'

/** What a store should hold, in plain Maps: the specification of the property test. */
export interface Model {
  readonly records: Map<string, { value: string | null; metadata: Metadata }>
  readonly log: Map<string, { commitId: number; operation: CommitOperation }>
  /** By `notificationRef`. */
  readonly notifications: Map<string, Notification>
  /** Refs in queue order, by recipient. */
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

function leave(model: Model, ref: string): void {
  for (const [recipient, refs] of model.outbox) {
    const left = refs.filter((other) => other !== ref)
    if (left.length > 0) model.outbox.set(recipient, left)
    else model.outbox.delete(recipient)
  }
}

export function putInModel(model: Model, notification: Notification): void {
  leave(model, notificationRef(notification))
  model.notifications.set(notificationRef(notification), notification)
}

/** @returns false when the outbox is full */
export function enqueueInModel(model: Model, notification: Notification, limit: number): boolean {
  const { to, notifier, latestN } = notification
  const ref = notificationRef(notification)
  if (model.outbox.get(to)?.includes(ref)) return true
  const rivals = (model.outbox.get(to) ?? []).filter((other) => {
    const known = model.notifications.get(other)
    return known?.strategy === 'latest' && known.notifier === notifier
  })
  const dropped = notification.strategy === 'latest' ? rivals.slice(0, Math.max(rivals.length - latestN + 1, 0)) : []
  if ((model.outbox.get(to)?.length ?? 0) - dropped.length >= limit) return false
  for (const other of dropped) settleInModel(model, other, 'expired')
  putInModel(model, notification)
  model.outbox.set(to, [...(model.outbox.get(to) ?? []), ref])
  return true
}

export function settleInModel(model: Model, ref: string, status: NotificationStatus): void {
  const notification = model.notifications.get(ref)
  if (notification === undefined) return
  leave(model, ref)
  model.notifications.set(ref, { ...notification, status })
}

/** Everything that can expire, as keys of the expiry index. */
export function expiryOf(model: Model): string[] {
  const keys: string[] = []
  for (const [key, { metadata }] of model.records) {
    if (metadata.expiresAt !== undefined) keys.push(expiryKey(metadata.expiresAt, 'r', key))
  }
  for (const [ref, { expiresAt }] of model.notifications) keys.push(expiryKey(expiresAt, 'n', ref))
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
