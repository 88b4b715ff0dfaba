import { randomUUID } from 'node:crypto'
import type { AtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { type Metadata, metadataAsChange } from '../core/metadata.ts'
import type { Notification, NotificationStatus } from '../core/notification.ts'
import type { Store } from '../core/storage.ts'
import { notify } from '../verbs/notify.ts'
import type { AutoNotice, Outgoing } from '../verbs/verb.ts'
import { type Link, replyData } from '../wire/link.ts'
import type { Peers } from './peers.ts'

export interface DeliveryOptions {
  readonly self: AtSign
  readonly clock: Clock
  readonly log: Log
  readonly store: Store
  readonly peers: Peers
  /** Whether changes of shared records are announced to their recipients. */
  readonly autoNotify: boolean
  readonly notificationMs: number
  /** A number from 0 to 1 that spreads retries; injected by tests. */
  readonly random?: () => number
}

/** Back-off of the reference: 200 ms growing by the golden ratio to 10 s (page 07, 16.2), spread by a fifth. */
const firstPauseMs = 200
const growth = 1.618
const longestPauseMs = 10_000

/** Answers that will not change however often the same line is sent. */
const final = new Set(['AT0003', 'AT0009', 'AT0016', 'AT0022'])

/** The full key of a notification, taken apart as the `notify` grammar wants it. */
function subjectOf(notification: Notification): {
  to: AtSign
  name: string
  owner: AtSign | undefined
  value: string | undefined
} {
  const { key, to, messageType, value } = notification
  const rest = key.slice(key.indexOf(':') + 1)
  const at = messageType === 'text' ? -1 : rest.lastIndexOf('@')
  const name = at === -1 ? rest : rest.slice(0, at)
  const owner = at === -1 ? undefined : parseAtSign(rest.slice(at))
  return { to, name, owner, value: value ?? undefined }
}

/**
 * The line that a peer gets (page 07, 16.1): never priority, strategy or latestN, the remaining life instead of the
 * original one.
 * @param withTimes false for peers built before at_commons 5.10, which refuse asserted times
 */
export function deliveryLine(notification: Notification, now: number, withTimes: boolean): string {
  const explicit = notification.explicitExpiry === true
  const change = metadataAsChange(notification.metadata, withTimes)
  if (notification.isEncrypted !== undefined) change.isEncrypted = notification.isEncrypted
  else delete change.isEncrypted
  for (const name of ['isBinary', 'encoding', 'sharedKeyStatus', 'dataSignature'] as const) delete change[name]
  if (change.ttr === undefined) delete change.ccd
  return `notify${notify.grammar.format({
    id: notification.id,
    operation: notification.operation,
    messageType: notification.messageType,
    notifier: notification.notifier,
    ...(explicit ? { eAtn: notification.expiresAt } : { ttln: Math.max(1, notification.expiresAt - now) }),
    metadata: change,
    subject: subjectOf(notification),
  })}`
}

const hasTimes = ({ createdAt, updatedAt, expiresAt, availableAt }: Metadata): boolean =>
  [createdAt, updatedAt, expiresAt, availableAt].some((time) => time !== undefined)

/** What a peer made of one notification; undefined means try again later. */
async function sendOne(link: Link, notification: Notification, clock: Clock): Promise<NotificationStatus | undefined> {
  const attempt = async (withTimes: boolean): Promise<AtError | undefined> => {
    try {
      const answer = replyData(await link.request(deliveryLine(notification, clock.now(), withTimes)))
      return answer === 'success' ? undefined : new AtError('AT0011', `unexpected answer ${answer.slice(0, 40)}`)
    } catch (error) {
      if (error instanceof AtError) return error
      throw error
    }
  }
  let error = await attempt(true)
  if (error?.code === 'AT0003' && hasTimes(notification.metadata)) error = await attempt(false)
  if (error === undefined) return 'delivered'
  return final.has(error.code) ? 'errored' : undefined
}

/** One recipient's queue on its way out. */
interface Lane {
  running: boolean
  woken: boolean
  failures: number
  cancelRetry: (() => void) | undefined
}

/**
 * Delivers queued notifications: one lane per recipient, several notifications in flight on it, in the order in which
 * they were queued. A recipient that is slow or away holds up nobody else, and a refused notification holds up nothing.
 * What is queued survives restarts; the recipient recognises a repeat by its id.
 */
export function createDelivery(options: DeliveryOptions): Outgoing & { start(): Promise<void>; close(): void } {
  const { self, clock, log, store, peers } = options
  const random = options.random ?? Math.random
  const lanes = new Map<AtSign, Lane>()
  let closed = false

  const settle = (notification: Notification, status: NotificationStatus): Promise<void> =>
    store.write((tx) => tx.settle(notification, status), { sync: false })

  /**
   * Sends the next notifications of a recipient.
   * @param held ids that have to be tried again later; they no longer stand in the way of those behind them
   * @returns how many were dealt with
   */
  const sendBatch = async (recipient: AtSign, held: Set<string>): Promise<number> => {
    const waiting = await store.outbox.pending(recipient, limits.deliveryWindow, held)
    const now = clock.now()
    const expired = waiting.filter((notification) => notification.expiresAt <= now)
    await Promise.all(expired.map((notification) => settle(notification, 'expired')))
    const due = waiting.filter((notification) => notification.expiresAt > now)
    if (due.length === 0) return expired.length
    const link = await peers.proven(recipient)
    await Promise.all(
      due.map(async (notification) => {
        const status = await sendOne(link, notification, clock)
        if (status === undefined) held.add(notification.id)
        else await settle(notification, status)
        if (status === 'errored') log('warn', 'a peer refused a notification', { recipient, id: notification.id })
      }),
    )
    return waiting.length
  }

  const pause = (recipient: AtSign, lane: Lane): void => {
    const base = Math.min(firstPauseMs * growth ** lane.failures, longestPauseMs)
    lane.failures++
    lane.cancelRetry = clock.after(base * (0.8 + 0.4 * random()), () => {
      lane.cancelRetry = undefined
      run(recipient, lane)
    })
  }

  const drain = async (recipient: AtSign, lane: Lane): Promise<void> => {
    const held = new Set<string>()
    for (;;) {
      lane.woken = false
      const before = held.size
      const dealtWith = await sendBatch(recipient, held)
      if (closed) return
      if (dealtWith > held.size - before) lane.failures = 0
      if (dealtWith > 0 || lane.woken) continue
      if (held.size > 0) pause(recipient, lane)
      return
    }
  }

  const run = (recipient: AtSign, lane: Lane): void => {
    if (closed || lane.running || lane.cancelRetry !== undefined) return
    lane.running = true
    drain(recipient, lane)
      .catch((error: Error) => {
        if (closed) return
        log('info', 'delivery waits', { recipient, reason: error.message })
        pause(recipient, lane)
      })
      .finally(() => {
        lane.running = false
        if (lane.woken) run(recipient, lane)
        else if (lane.cancelRetry === undefined) lanes.delete(recipient)
      })
  }

  const wake = (recipient: AtSign): void => {
    const lane = lanes.get(recipient) ?? { running: false, woken: false, failures: 0, cancelRetry: undefined }
    lanes.set(recipient, lane)
    lane.woken = true
    run(recipient, lane)
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
    notifier: 'system',
    at: notice.at,
    expiresAt: notice.at + options.notificationMs,
    status: 'queued',
    // A delete says nothing about encryption (page 07, 16.1).
    isEncrypted: notice.operation === 'delete' ? undefined : (notice.metadata.isEncrypted ?? false),
    metadata: notice.metadata,
  })

  return {
    wake,
    async autoNotify(tx, key, notice) {
      const recipient = key.sharedWith
      if (!options.autoNotify || key.cached || recipient === undefined || recipient === self) return
      await tx.enqueue(noticeOf(key, recipient, notice))
      tx.onCommit(() => wake(recipient))
    },
    async start() {
      for (const recipient of await store.outbox.recipients()) wake(recipient)
    },
    close() {
      closed = true
      for (const lane of lanes.values()) lane.cancelRetry?.()
      lanes.clear()
    },
  }
}
