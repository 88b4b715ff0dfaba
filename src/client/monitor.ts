import { createHash } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { AtError, type ErrorCode } from '../core/errors.ts'
import type { AtKeys } from '../crypto/keys-file.ts'
import { type Link, replyData } from '../wire/link.ts'
import { createBackOff } from './back-off.ts'
import { openSession, pkamLogin } from './login.ts'
import { isStatistics, openNotification, type RawNotification, readNotification } from './notification.ts'
import type { Opener } from './open.ts'
import type { Connect, MonitorOptions, ReceivedNotification } from './types.ts'

export interface MonitorParts {
  readonly keys: AtKeys
  readonly connect: Connect
  readonly clock: Clock
  readonly opener: Opener
  readonly random?: (() => number) | undefined
}

/** A running monitor: an iterator that `close` ends. */
export interface Monitor extends AsyncIterableIterator<ReceivedNotification> {
  close(): void
}

const heartbeatMs = 30_000
/** Notifications waiting for the consumer; reading stops there and goes on at half of it. */
const mostWaiting = 1_000
/** Notifications remembered, to leave out those that a replay repeats. */
const mostSeen = 5_000

/** Refusals that a further attempt would only meet again. */
const final: ReadonlySet<ErrorCode> = new Set(['AT0003', 'AT0025', 'AT0026', 'AT0027', 'AT0028', 'AT0401'])

/** Ids alone do not do: base Python sends every notification of a process under one id (page 04, section 4). */
const identityOf = ({ id, from, key, value, operation }: RawNotification): string =>
  createHash('sha256')
    .update(JSON.stringify([id, from, key, value, operation]))
    .digest('base64')

/** `monitor:strict` in front keeps base servers from folding or misreading the pattern (page 04, section 9). */
const commandFor = (since: number | undefined, pattern: string | undefined): string =>
  `monitor:strict${since === undefined ? '' : `:${since}`}${pattern === undefined ? '' : ` ${pattern}`}`

interface Inbox {
  /** Takes what a link brings; false when reading should stop. */
  push(line: string): boolean
  shift(): RawNotification | undefined
  readonly waiting: number
  /** Time from which to replay after a loss: one millisecond before the last one seen, as times are not unique. */
  readonly resumeAt: number | undefined
}

function createInbox(since: number | undefined): Inbox {
  const waiting: RawNotification[] = []
  const seen = new Set<string>()
  let last: number | undefined
  return {
    push(line) {
      const raw = readNotification(line)
      if (raw === undefined) return true
      last = Math.max(last ?? 0, raw.at)
      if (isStatistics(raw)) return true
      const identity = identityOf(raw)
      if (seen.has(identity)) return true
      seen.add(identity)
      const oldest = seen.values().next()
      if (seen.size > mostSeen && !oldest.done) seen.delete(oldest.value)
      waiting.push(raw)
      return waiting.length < mostWaiting
    },
    shift: () => waiting.shift(),
    get waiting() {
      return waiting.length
    },
    get resumeAt() {
      return last === undefined ? since : Math.max(0, last - 1)
    },
  }
}

/**
 * Starts to receive at once. The connection is made again after a loss and resumes where it was; a refusal of the very
 * first login, or one that nothing can change, ends the iteration with its error.
 */
export function startMonitor(parts: MonitorParts, options: MonitorOptions, onEnd: () => void): Monitor {
  const { keys, connect, clock, opener } = parts
  const { since, pattern, signal } = options
  const inbox = createInbox(since)
  const backOff = createBackOff(parts.random)
  // Nothing is replayed at first, but what arrives during a loss must be: without a time of the atServer, ours has to do.
  const startedAt = clock.now()
  let link: Link | undefined
  let paused = false
  let subscribed = false
  let over = false
  let failure: unknown
  let cancelTimer = (): void => {}
  let wake = (): void => {}

  const finish = (error?: unknown): void => {
    if (over) return
    over = true
    failure = error
    cancelTimer()
    link?.close()
    signal?.removeEventListener('abort', stop)
    onEnd()
    wake()
  }
  const stop = (): void => finish()

  const onNotification = (line: string): void => {
    backOff.reset()
    const goOn = inbox.push(line)
    if (!goOn && !paused) {
      paused = true
      link?.pause()
    }
    wake()
  }

  const beat = (live: Link): void => {
    cancelTimer = clock.after(heartbeatMs, () => {
      if (live.closed || over) return
      // While the consumer is behind, the answer would not be read.
      if (!paused)
        live
          .request('noop:0')
          .then(replyData)
          .then(backOff.reset, () => live.close())
      beat(live)
    })
  }

  const lost = (error: unknown): void => {
    cancelTimer()
    if (over) return
    paused = false
    const code = error instanceof AtError ? error.code : undefined
    if (!subscribed || (code !== undefined && final.has(code))) finish(error)
    else cancelTimer = clock.after(backOff.next(), () => void run())
  }

  const subscribe = (fresh: Link): void => {
    const from = inbox.resumeAt ?? (subscribed ? startedAt : undefined)
    link = fresh
    subscribed = true
    fresh.send(commandFor(from, pattern))
    // Inside the process a refusal may be here already.
    if (!fresh.closed) beat(fresh)
  }

  const run = async (): Promise<void> => {
    // Until the login is done, its own error says more than that of the connection.
    let onLoss = (_error?: Error): void => {}
    const onClose = (error?: Error): void => onLoss(error)
    try {
      const fresh = await openSession(connect, (opened) => pkamLogin(opened, keys), { clock, onNotification, onClose })
      onLoss = lost
      if (over) fresh.close()
      else if (fresh.closed) lost(undefined)
      else subscribe(fresh)
    } catch (error) {
      lost(error)
    }
  }

  const receive = async (): Promise<IteratorResult<ReceivedNotification, undefined>> => {
    while (inbox.waiting === 0 && !over) await new Promise<void>((resolve) => (wake = resolve))
    const raw = inbox.shift()
    if (raw === undefined || (over && failure === undefined)) {
      const error = failure
      failure = undefined
      if (error !== undefined) throw error
      return { done: true, value: undefined }
    }
    if (paused && inbox.waiting < mostWaiting / 2) {
      paused = false
      link?.resume()
    }
    return { done: false, value: await openNotification(raw, opener) }
  }

  let turn: Promise<unknown> = Promise.resolve()
  if (signal?.aborted) over = true
  else {
    signal?.addEventListener('abort', stop)
    void run()
  }

  const monitor: Monitor = {
    next() {
      // One after the other, so that notifications keep their order while keys are fetched.
      const result = turn.then(receive, receive)
      turn = result
      return result
    },
    async return() {
      finish()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => monitor,
    close: stop,
  }
  return monitor
}
