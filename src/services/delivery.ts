import { randomUUID } from 'node:crypto'
import { permitsExchange } from '../core/access.ts'
import type { AtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { Notification } from '../core/notification.ts'
import type { Store, Waiting } from '../core/storage.ts'
import { blockListKey, parseBlockList } from '../verbs/block-list.ts'
import type { AutoNotice, Outgoing } from '../verbs/verb.ts'
import { createLane, type Lane } from './delivery-lane.ts'
import { systemNotifier } from './delivery-line.ts'
import { createSettlement } from './delivery-settlement.ts'
import type { EphemeralStore } from './ephemeral.ts'
import type { Peers } from './peers.ts'

export interface DeliveryOptions {
  readonly self: AtSign
  readonly clock: Clock
  readonly log: Log
  readonly store: Store
  readonly peers: Peers
  readonly ephemeral: EphemeralStore
  /** Whether changes of shared records are announced to their recipients. */
  readonly autoNotify: boolean
  readonly notificationMs: number
  /** A number from 0 to 1 that spreads retries; injected by tests. */
  readonly random?: () => number
}

/**
 * Delivers queued notifications, each recipient on a lane of its own. A recipient that is slow or away holds up nobody
 * else, and a refused notification holds up nothing. What is queued survives restarts; the recipient recognises a repeat
 * by sender, id and content.
 */
export function createDelivery(options: DeliveryOptions): Outgoing & { start(): Promise<void>; close(): void } {
  const { self, log, store } = options
  const settle = createSettlement(store, options.ephemeral)
  const blockList = blockListKey(self).text
  const lanes = new Map<AtSign, Lane>()
  /** Recipients whose full outbox was logged; forgotten when they take notices again. */
  const told = new Set<AtSign>()
  /** Lanes that have nothing to do, the one that has had nothing for longest first. */
  const idle = new Set<AtSign>()
  let closed = false

  /** A lane that is kept knows that nothing else waits; those of recipients who are rarely told anything give way. */
  const rest = (recipient: AtSign, isWell: boolean): void => {
    if (!isWell) {
      lanes.delete(recipient)
      return
    }
    idle.add(recipient)
    const [oldest] = idle
    if (idle.size <= limits.idleLanes || oldest === undefined) return
    idle.delete(oldest)
    lanes.delete(oldest)
  }

  const wake = (recipient: AtSign, committed?: Waiting): void => {
    if (closed) return
    const known = lanes.get(recipient)
    const lane =
      known ??
      createLane(recipient, { ...options, settle, random: options.random ?? Math.random }, (isWell) => {
        if (lanes.get(recipient) === lane) rest(recipient, isWell)
      })
    lanes.set(recipient, lane)
    idle.delete(recipient)
    lane.wake(committed)
  }

  const noticeOf = (key: AtKey, recipient: AtSign, notice: AutoNotice): Notification => ({
    id: randomUUID(),
    from: self,
    to: recipient,
    key: key.text,
    value: notice.value,
    operation: notice.operation,
    messageType: 'key',
    type: 'sent',
    priority: notice.priority ?? 'low',
    strategy: 'all',
    latestN: 1,
    notifier: systemNotifier,
    at: notice.at,
    expiresAt: notice.at + options.notificationMs,
    status: 'queued',
    // A delete says nothing about encryption (page 07, 16.1).
    isEncrypted: notice.operation === 'delete' ? undefined : (notice.metadata.isEncrypted ?? false),
    metadata: notice.metadata,
  })

  return {
    wake,
    autoNotify(tx, key, notice) {
      const recipient = key.sharedWith
      if (!options.autoNotify || key.cached || recipient === undefined || recipient === self) return
      const blocked = parseBlockList(tx.record(blockList)?.value).includes(recipient)
      const refusal = permitsExchange({
        direction: 'out',
        self,
        peer: recipient,
        recipient,
        owner: self,
        messageType: 'key',
        blocked,
      })
      if (refusal !== undefined) return
      let waiting: Waiting | undefined
      try {
        waiting = tx.enqueue(noticeOf(key, recipient, notice))
      } catch (error) {
        // The record itself is kept: a reader that stays away must not stop the sensors.
        if (!(error instanceof AtError && error.code === 'AT0006')) throw error
        if (!told.has(recipient))
          log('warn', 'records are stored without a notice', { recipient, reason: error.message })
        told.add(recipient)
        return
      }
      told.delete(recipient)
      tx.onCommit(() => wake(recipient, waiting))
    },
    async start() {
      for (const recipient of await store.outbox.recipients()) wake(recipient)
    },
    close() {
      closed = true
      for (const lane of lanes.values()) lane.close()
      lanes.clear()
    },
  }
}
