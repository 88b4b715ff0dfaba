import { randomUUID } from 'node:crypto'
import { permitsExchange } from '../core/access.ts'
import type { AtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { Notification, NotificationStatus } from '../core/notification.ts'
import type { Store } from '../core/storage.ts'
import { blockListKey, isBlocked, parseBlockList } from '../verbs/block-list.ts'
import type { AutoNotice, Outgoing } from '../verbs/verb.ts'
import { replyData } from '../wire/link.ts'
import { deliveryLine, systemNotifier } from './delivery-line.ts'
import type { EphemeralStore } from './ephemeral.ts'
import type { PeerFeatures, PeerSession } from './peer-session.ts'
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

/** Back-off of the reference: 200 ms growing by the golden ratio to 10 s (page 07, 16.2), spread by a fifth. */
const firstPauseMs = 200
const growth = 1.618
const longestPauseMs = 10_000

/** Answers that will not change however often the same line is sent. */
const final: ReadonlySet<string> = new Set(['AT0003', 'AT0005', 'AT0009', 'AT0016', 'AT0022'])

/** What became of one attempt. A failed connection is no outcome: the attempt throws. */
type Outcome = 'delivered' | 'errored' | 'later'

/** What the answer to a delivery says; an error as it came. */
function readAnswer(reply: string): Outcome | AtError {
  try {
    return replyData(reply) === 'success' ? 'delivered' : 'later'
  } catch (error) {
    if (error instanceof AtError) return error
    throw error
  }
}

/** Sends a notification, and once more in the words that every released server reads when the peer refuses ours. */
async function attempt(
  session: PeerSession,
  notification: Notification,
  now: number,
  features: PeerFeatures,
): Promise<Outcome> {
  const line = deliveryLine(notification, now, { ...features, basic: false })
  const basicLine = deliveryLine(notification, now, { eAtn: false, basic: true })
  let answer = readAnswer(await session.request(line))
  if (answer instanceof AtError && answer.code === 'AT0003' && basicLine !== line) {
    answer = readAnswer(await session.request(basicLine))
  }
  if (!(answer instanceof AtError)) return answer
  return final.has(answer.code) ? 'errored' : 'later'
}

/** One recipient's queue on its way out. */
interface Lane {
  running: boolean
  woken: boolean
  failures: number
  cancelRetry: (() => void) | undefined
  /** The notification on which the connection failed last, and how often in a row. */
  culprit: { readonly id: string; readonly times: number } | undefined
  /** Ids on which the connection failed again and again: they are tried alone, after all others. */
  readonly fatal: Set<string>
}

const newLane = (): Lane => ({
  ...{ running: false, woken: false, failures: 0, cancelRetry: undefined },
  ...{ culprit: undefined, fatal: new Set() },
})

/** A connection that fails this often on the same notification fails because of it. */
const fatalTimes = 3
/** What a peer is taken for until it was asked. */
const plain: PeerFeatures = { eAtn: false, eph: false }

/** Merges two lists that are in order of time; each keeps its own order, whatever the clock did. */
function byTime(one: readonly Notification[], other: readonly Notification[]): Notification[] {
  const merged: Notification[] = []
  const rest = [...other]
  for (const notification of one) {
    while (rest[0] !== undefined && rest[0].at < notification.at) merged.push(...rest.splice(0, 1))
    merged.push(notification)
  }
  return [...merged, ...rest]
}

/** So many notifications of one recipient may stand aside; with more of them it is the peer that is at fault. */
const mostAside = 64

/**
 * Delivers queued notifications: one lane per recipient, several notifications in flight on it where the peer answers
 * pipelined lines, in the order in which they were queued. A recipient that is slow or away holds up nobody else, and a
 * refused notification holds up nothing. What is queued survives restarts; the recipient recognises a repeat by its id.
 */
export function createDelivery(options: DeliveryOptions): Outgoing & { start(): Promise<void>; close(): void } {
  const { self, clock, log, store, peers, ephemeral } = options
  const random = options.random ?? Math.random
  const lanes = new Map<AtSign, Lane>()
  /** Recipients whose full outbox was logged; forgotten when they take notices again. */
  const told = new Set<AtSign>()
  let closed = false

  const settle = async (notification: Notification, status: NotificationStatus): Promise<void> => {
    if (notification.ephemeral) ephemeral.settle(notification, status)
    else await store.write((tx) => tx.settle(notification, status), { sync: false })
  }

  /** The next ones that wait for a recipient, stored or in memory, in the order in which they were sent. */
  const pending = async (recipient: AtSign, limit: number, skip: ReadonlySet<string>): Promise<Notification[]> => {
    const stored = await store.outbox.pending(recipient, limit, skip)
    return byTime(stored, ephemeral.pending(recipient, limit, skip)).slice(0, limit)
  }

  /** Ends the wait of what is for an atSign that the owner has blocked meanwhile. @returns whether there was any */
  const dropBlocked = async (recipient: AtSign, due: readonly Notification[]): Promise<boolean> => {
    const blocked = await isBlocked(store.records, self, recipient)
    const refused = due.filter(({ messageType }) => {
      const exchange = {
        direction: 'out',
        self,
        peer: recipient,
        recipient,
        owner: self,
        messageType,
        blocked,
      } as const
      return permitsExchange(exchange) !== undefined
    })
    await Promise.all(refused.map((notification) => settle(notification, 'errored')))
    return refused.length > 0
  }

  /** Ends the wait of those whose time is over. @returns the others */
  const dropExpired = async (waiting: readonly Notification[]): Promise<Notification[]> => {
    const now = clock.now()
    const expired = waiting.filter((notification) => notification.expiresAt <= now)
    await Promise.all(expired.map((notification) => settle(notification, 'expired')))
    return waiting.filter((notification) => notification.expiresAt > now)
  }

  /** The address of a recipient that has left the directory will not come back in time (page 07, 16.2). */
  const sessionWith = async (recipient: AtSign, due: readonly Notification[]): Promise<PeerSession | undefined> => {
    try {
      return await peers.proven(recipient)
    } catch (error) {
      if (!(error instanceof AtError && error.code === 'AT0007')) throw error
      log('warn', 'notifications for an atSign that the directory does not know', { recipient, reason: error.message })
      await Promise.all(due.map((notification) => settle(notification, 'errored')))
      return undefined
    }
  }

  const sendOne = async (
    session: PeerSession,
    notification: Notification,
    features: PeerFeatures,
  ): Promise<Outcome> => {
    const outcome = await attempt(session, notification, clock.now(), features)
    if (outcome !== 'later') await settle(notification, outcome)
    if (outcome === 'errored') {
      log('warn', 'a peer refused a notification', { recipient: notification.to, id: notification.id })
    }
    return outcome
  }

  /** Remembers on which notification a connection failed; the others go first when it is the same one again and again. */
  const blame = (lane: Lane, id: string): void => {
    const times = lane.culprit?.id === id ? lane.culprit.times + 1 : 1
    lane.culprit = { id, times }
    if (times < fatalTimes) return
    if (lane.fatal.size >= mostAside) lane.fatal.clear()
    lane.fatal.delete(id)
    lane.fatal.add(id)
  }

  /** Sends notifications, together where the peer answers them one by one. @returns ids to be tried again later */
  const sendAll = async (session: PeerSession, due: readonly Notification[], lane: Lane): Promise<string[]> => {
    const [only, more] = due
    const asks = more !== undefined || only?.explicitExpiry === true || only?.ephemeral === true
    const features = asks ? await session.features() : plain
    const later: string[] = []
    for (let next = 0; next < due.length; ) {
      const group = due.slice(next, features.eAtn ? undefined : next + 1)
      const results = await Promise.allSettled(group.map((notification) => sendOne(session, notification, features)))
      for (const [index, { id }] of group.entries()) {
        const result = results[index]
        if (result?.status === 'fulfilled') {
          if (result.value === 'later') later.push(id)
          else lane.failures = 0
          continue
        }
        if (session.closed) blame(lane, id)
        throw result?.reason
      }
      next += group.length
    }
    return later
  }

  /**
   * Sends the next notifications of a recipient.
   * @param aside ids that have to be tried again later; they do not stand in the way of those behind them
   * @returns false when nothing else is to be done before a pause
   */
  const sendBatch = async (recipient: AtSign, lane: Lane, aside: Set<string>): Promise<boolean> => {
    let waiting = await pending(recipient, limits.deliveryWindow, new Set([...aside, ...lane.fatal]))
    if (waiting.length === 0) {
      const [last] = lane.fatal
      const others = await pending(recipient, mostAside, aside)
      waiting = others.filter(({ id }) => id === last)
      if (last !== undefined) lane.fatal.delete(last)
      if (waiting.length === 0) return last !== undefined
    }
    const due = await dropExpired(waiting)
    if (due.length === 0 || (await dropBlocked(recipient, due))) return true
    const session = await sessionWith(recipient, due)
    if (session === undefined) return true
    for (const id of await sendAll(session, due, lane)) aside.add(id)
    return aside.size < mostAside
  }

  const pause = (recipient: AtSign, lane: Lane, reason: string): void => {
    log('info', 'delivery waits', { recipient, reason })
    const base = Math.min(firstPauseMs * growth ** lane.failures, longestPauseMs)
    lane.failures++
    lane.cancelRetry = clock.after(base * (0.8 + 0.4 * random()), () => {
      lane.cancelRetry = undefined
      run(recipient, lane)
    })
  }

  const drain = async (recipient: AtSign, lane: Lane): Promise<void> => {
    const aside = new Set<string>()
    for (;;) {
      lane.woken = false
      const more = await sendBatch(recipient, lane, aside)
      if (closed) return
      if (more || (lane.woken && aside.size < mostAside)) continue
      if (aside.size > 0) pause(recipient, lane, 'the peer cannot take what is waiting')
      return
    }
  }

  const run = (recipient: AtSign, lane: Lane): void => {
    if (closed || lane.running || lane.cancelRetry !== undefined) return
    lane.running = true
    drain(recipient, lane)
      .catch((error: Error) => {
        if (!closed) pause(recipient, lane, error.message)
      })
      .finally(() => {
        lane.running = false
        if (lane.woken) run(recipient, lane)
        else if (lane.cancelRetry === undefined) lanes.delete(recipient)
      })
  }

  const wake = (recipient: AtSign): void => {
    const lane = lanes.get(recipient) ?? newLane()
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
    async autoNotify(tx, key, notice) {
      const recipient = key.sharedWith
      if (!options.autoNotify || key.cached || recipient === undefined || recipient === self) return
      const blocked = parseBlockList((await tx.record(blockListKey(self).text))?.value).includes(recipient)
      const exchange = { direction: 'out', self, peer: recipient, recipient, owner: self, messageType: 'key' } as const
      if (permitsExchange({ ...exchange, blocked }) !== undefined) return
      try {
        await tx.enqueue(noticeOf(key, recipient, notice))
      } catch (error) {
        // The record itself is kept: a reader that stays away must not stop the sensors.
        if (!(error instanceof AtError && error.code === 'AT0006')) throw error
        if (!told.has(recipient))
          log('warn', 'records are stored without a notice', { recipient, reason: error.message })
        told.add(recipient)
        return
      }
      told.delete(recipient)
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
