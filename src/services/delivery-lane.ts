import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { Priority } from '../core/notification.ts'
import type { Store, Waiting } from '../core/storage.ts'
import { attempt, type Outcome } from './delivery-attempt.ts'
import type { Entry, Judge } from './delivery-order.ts'
import { pauseFor } from './delivery-pause.ts'
import { createQueue } from './delivery-queue.ts'
import { refusalOf } from './delivery-refusal.ts'
import type { Settle } from './delivery-settlement.ts'
import { createSignal } from './delivery-signal.ts'
import { createWindow } from './delivery-window.ts'
import type { EphemeralStore } from './ephemeral.ts'
import type { PeerFeatures, PeerSession } from './peer-session.ts'
import type { Peers } from './peers.ts'

/** What the lanes of one atServer share. */
export interface LaneParts {
  readonly self: AtSign
  readonly clock: Clock
  readonly log: Log
  readonly store: Pick<Store, 'outbox' | 'records'>
  readonly peers: Pick<Peers, 'proven'>
  readonly ephemeral: EphemeralStore
  readonly settle: Settle
  /** A number from 0 to 1 that spreads retries. */
  readonly random: () => number
}

/** The way of notifications to one recipient. */
export interface Lane {
  /** Something may be waiting, or has just begun to. */
  wake(committed?: Waiting): void
  close(): void
}

/** A connection that fails this often on the same notification fails because of it. */
const fatalTimes = 3
/** So many keys of one recipient may stand aside; with more of them it is the peer that is at fault. */
const mostAside = 64
/** What a peer is taken for until it was asked. */
const plain: PeerFeatures = { eAtn: false, eph: false }

/**
 * Sends what waits for one recipient: a sliding window of notifications in flight where the peer answers pipelined lines,
 * one by one elsewhere. Of one key only one is in flight, so that a later value never arrives before an earlier one, and
 * when the peer cannot take it now only those of its key wait behind it.
 * @param onIdle called when nothing is left to do; the lane may be forgotten then, and should be unless all went well
 */
export function createLane(recipient: AtSign, parts: LaneParts, onIdle: (isWell: boolean) => void): Lane {
  const { self, clock, log, store, peers, ephemeral, settle } = parts
  const queue = createQueue(recipient, store.outbox, ephemeral)
  const inFlight = createWindow()
  const signal = createSignal()
  const readRefusal = refusalOf(self, recipient, store.records)
  /** Keys whose first notification the peer could not take, until the next attempt. */
  const stuck = new Set<string>()
  /** Keys on whose first notification the connection failed again and again: tried alone, after all others. */
  const fatal = new Set<string>()
  /** How urgent what was tried last is. */
  let urgency: Priority = 'low'
  let culprit: { readonly token: string; readonly times: number } | undefined
  let failures = 0
  let refusals = 0
  /** Whether the directory did not know the recipient at the last attempt. */
  let unknown = false
  let cancelPause: (() => void) | undefined
  let cancelStuck: (() => void) | undefined
  let broken: Error | undefined
  /** The session of the last attempt. */
  let opened: PeerSession | undefined
  let looksAgain = false
  let asked: { readonly session: PeerSession; readonly features: PeerFeatures } | undefined
  /** Notifications that were sent and whose outcome is not written yet. */
  let underWay = 0
  let running = false
  let dirty = false
  let closed = false

  const changed = (): void => {
    dirty = true
    signal.give()
  }

  const end = (entry: Entry, status: 'delivered' | 'errored' | 'expired'): Promise<void> =>
    settle(entry, status).then(() => queue.putBack(entry))

  /** Ends the wait of what is not to be sent any more. @returns whether it is over */
  const isOver = async (entry: Entry): Promise<boolean> => {
    const { notification } = entry
    if (!queue.waits(entry)) queue.putBack(entry)
    else if (notification.expiresAt <= clock.now()) await end(entry, 'expired')
    else if ((await readRefusal())(notification)) await end(entry, 'errored')
    else return false
    return true
  }

  /** Remembers on which notification a connection failed; the others go first when it is the same one again and again. */
  const blame = ({ token, order }: Entry): void => {
    const times = culprit?.token === token ? culprit.times + 1 : 1
    culprit = { token, times }
    if (times < fatalTimes) return
    if (fatal.size >= mostAside) fatal.clear()
    fatal.add(order)
  }

  const standAside = ({ order }: Entry): void => {
    stuck.add(order)
    if (cancelStuck !== undefined) return
    log('info', 'delivery waits', { recipient, reason: 'the peer cannot take what is waiting' })
    cancelStuck = clock.after(pauseFor(refusals++, parts.random()), () => {
      cancelStuck = undefined
      stuck.clear()
      queue.rewind()
      lane.wake()
    })
  }

  /** The next of its key may go. */
  const free = (entry: Entry): void => {
    inFlight.remove(entry)
    changed()
  }

  /** @returns a promise when something has to be written for it */
  const conclude = (entry: Entry, outcome: Outcome): Promise<void> | undefined => {
    if (outcome === 'later') {
      standAside(entry)
      queue.putBack(entry)
      return undefined
    }
    failures = 0
    if (stuck.size === 0) refusals = 0
    if (outcome === 'errored') log('warn', 'a peer refused a notification', { recipient, id: entry.notification.id })
    free(entry)
    return end(entry, outcome)
  }

  const launch = (entry: Entry, session: PeerSession, features: PeerFeatures): void => {
    const landed = (): void => {
      underWay--
      free(entry)
    }
    inFlight.add(entry)
    underWay++
    attempt(session, entry.notification, clock.now(), features)
      .then((outcome) => conclude(entry, outcome))
      .then(landed, (error: Error) => {
        // Replies come in order, so the first one that fails is the one on which the connection failed.
        if (broken === undefined && session.closed) blame(entry)
        broken ??= error
        queue.putBack(entry)
        landed()
      })
  }

  /** Asks a peer once a session, when more than one simple notification is for it. */
  const featuresOf = async ({ notification }: Entry, session: PeerSession): Promise<PeerFeatures> => {
    if (asked?.session === session) return asked.features
    const asks = notification.explicitExpiry === true || notification.ephemeral === true
    if (inFlight.size() === 0 && !asks && !queue.holdsMore()) return plain
    const features = await session.features()
    asked = { session, features }
    return features
  }

  const judge: Judge = (order) => {
    if (inFlight.holds(order)) return 'held'
    return stuck.has(order) || fatal.has(order) ? 'aside' : 'free'
  }

  /** The next one; when nothing else is left to do, one of a key that waits for that. */
  const next = async (): Promise<Entry | undefined> => {
    const entry = await queue.take(judge)
    if (entry !== undefined || fatal.size === 0 || inFlight.size() > 0) return entry
    queue.rewind()
    const alone = await queue.take((order) => (stuck.has(order) ? 'aside' : 'free'))
    fatal.delete(alone?.order ?? '')
    return alone
  }

  const sendNext = async (entry: Entry): Promise<void> => {
    if (await isOver(entry)) return
    urgency = entry.notification.priority
    const session = await peers.proven(recipient)
    if (session !== opened && !looksAgain) {
      // While it was opened, something more urgent may have come, or this one may be over.
      looksAgain = true
      queue.putBack(entry)
      queue.rewind()
      return
    }
    opened = session
    looksAgain = false
    launch(entry, session, await featuresOf(entry, session))
  }

  /** Sends one behind others that are on their way, where there is nothing to wait for. @returns whether it was sent */
  const follow = (entry: Entry): boolean => {
    const { notification } = entry
    if (inFlight.size() === 0 || asked === undefined || asked.session !== opened || opened.closed) return false
    const isRefused = readRefusal()
    if (isRefused instanceof Promise || !queue.waits(entry)) return false
    if (notification.expiresAt <= clock.now() || isRefused(notification)) return false
    urgency = notification.priority
    launch(entry, opened, asked.features)
    return true
  }

  const hasRoom = (): boolean =>
    inFlight.hasRoom(asked === undefined || asked.features.eAtn ? limits.deliveryWindow : 1)

  /** Sends as many as may be in flight. */
  const fill = async (): Promise<void> => {
    while (!closed && broken === undefined && hasRoom() && stuck.size < mostAside) {
      const entry = queue.takeRead(judge) ?? (await next())
      if (entry === undefined) return
      if (broken !== undefined) {
        // What broke during the read comes before it, and waits again.
        queue.putBack(entry)
        return
      }
      if (follow(entry)) continue
      await sendNext(entry).catch((error: Error) => {
        queue.putBack(entry)
        broken ??= error
      })
    }
  }

  const work = async (): Promise<void> => {
    for (;;) {
      dirty = false
      await fill()
      if (closed) return
      if (dirty) continue
      if (underWay > 0) {
        await signal.given()
        continue
      }
      if (broken !== undefined) throw broken
      // What the store gave a lower place than it has read, after it recovered from a failed write, is found as well.
      if (stuck.size > 0 || !queue.hasRead()) return
      queue.rewind()
    }
  }

  /** A directory whose upstream is away does not know anybody either, so what waits is kept; one line of log is enough. */
  const tellWhy = (error: Error): void => {
    const before = unknown
    unknown = error instanceof AtError && error.code === 'AT0007'
    if (!unknown) log('info', 'delivery waits', { recipient, reason: error.message })
    else if (!before)
      log('warn', 'the directory does not know a recipient; it is asked again while anything waits', { recipient })
  }

  const rest = (error: Error): void => {
    tellWhy(error)
    queue.rewind()
    broken = undefined
    cancelPause = clock.after(pauseFor(failures++, parts.random(), { error, urgency }), () => {
      cancelPause = undefined
      run()
    })
  }

  const run = (): void => {
    if (closed || running || cancelPause !== undefined) return
    running = true
    work()
      .catch((error: Error) => {
        if (!closed) rest(error)
      })
      .finally(() => {
        running = false
        if (dirty) run()
        else if (cancelPause === undefined && cancelStuck === undefined) onIdle(failures === 0 && fatal.size === 0)
      })
  }

  const lane: Lane = {
    wake(committed) {
      queue.extend(committed)
      changed()
      run()
    },
    close() {
      closed = true
      cancelPause?.()
      cancelStuck?.()
      signal.give()
    },
  }
  return lane
}
