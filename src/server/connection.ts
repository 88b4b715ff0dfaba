import type { Duplex } from 'node:stream'
import type { Identity } from '../core/access.ts'
import type { Clock } from '../core/clock.ts'
import { createInOrder } from '../core/in-order.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { PeerCertificate, Session } from '../core/session.ts'
import type { Durability } from '../core/storage.ts'
import { newSessionId } from '../crypto/challenge.ts'
import type { FeedSource, WriteLine } from '../services/feed.ts'
import { dealtWith, type Frame, lineSplitter } from '../wire/framing.ts'
import type { LineBudget } from '../wire/line-budget.ts'
import { createBacklog, weightOf } from './backlog.ts'
import type { Answer, Gate } from './dispatch.ts'
import { createHeldLines } from './held.ts'
import { createOutput } from './output.ts'
import type { Turn } from './turn.ts'

/** One client, from greeting to close. */
export interface Connection {
  session(): Session
  readonly createdAt: number
  lastActiveAt(): number
  /** Closes after what is queued has left; `abrupt` does not wait for it. */
  close(abrupt?: boolean): void
}

export interface ConnectionOptions {
  readonly gate: Gate
  readonly feed: FeedSource
  readonly clock: Clock
  readonly log: Log
  readonly remoteAddress: string
  readonly certificate: PeerCertificate | undefined
  readonly durability?: Durability | undefined
  /** Who it is without any login; nobody unless told. */
  readonly identity?: Identity | undefined
  /** Memory that the long lines of peers share. */
  readonly peerLines?: LineBudget
  readonly turn: Turn
  readonly onClose: () => void
  /** The session has become one of the owner or of a peer. */
  readonly onProven?: () => void
}

/** A command that was taken. */
interface Taken {
  /** Whether the connection was a monitor when it came. */
  readonly monitoring: boolean
  /** Its characters. */
  readonly weight: number
}

const textOf = (frame: Frame | undefined): string | undefined => (frame?.kind === 'line' ? frame.text : undefined)

const isStranger = (session: Session): boolean => session.identity.kind === 'anyone'

const mostChars = ({ identity }: Session): number =>
  identity.kind === 'owner' ? limits.pipelinedChars : limits.pipelinedCharsOfOthers

/**
 * Serves the atProtocol on any duplex stream: TLS sockets and in-process pairs alike. Lines are answered strictly in
 * order and one at a time, except that writes which follow each other share a flash write. Reading stops while the
 * client leaves its answers unread.
 */
export function openConnection(stream: Duplex, options: ConnectionOptions): Connection {
  const { gate, feed, clock, log, turn } = options
  const lines = lineSplitter(options.identity === undefined ? limits.openLineBytes : limits.lineBytes)
  const gone = new AbortController()
  // Both are read for every command, and are slow to read off an AbortController.
  const { signal } = gone
  let ended = false
  const createdAt = clock.now()
  let session: Session = {
    id: newSessionId(),
    identity: options.identity ?? { kind: 'anyone' },
    challenge: undefined,
    clientVersion: undefined,
    remoteAddress: options.remoteAddress,
    certificate: options.certificate,
    durability: options.durability,
  }
  let lastActiveAt = createdAt
  const backlog = createBacklog()
  /** Characters of the commands that were started and not answered yet. */
  let charsUnderWay = 0
  let running = false
  let closing = false
  /** An answer was the last one. */
  let hungUp = false
  /** The client has said all it will say; what it asked is still answered. */
  let finished = false
  let refusals = 0
  let unsubscribe: (() => void) | undefined
  let multiplexed = false
  let cancelLinger: (() => void) | undefined

  const output = createOutput(stream, turn, () => {
    if (backlog.lines() > 0) drain()
    else resumeReading()
  })

  /** The client sends faster than it is answered, or leaves its answers unread. */
  const isAhead = (): boolean =>
    backlog.lines() >= limits.pipelinedLines ||
    backlog.chars() >= mostChars(session) ||
    output.waiting() > limits.unsentBytes

  const resumeReading = (): void => {
    if (stream.isPaused() && !closing && !isAhead()) stream.resume()
  }

  const endMonitor = (): void => {
    unsubscribe?.()
    unsubscribe = undefined
    notifications.forget()
  }

  const end = (): void => {
    if (ended) return
    ended = true
    closing = true
    gone.abort()
    endMonitor()
    cancelLinger?.()
    lines.release()
    backlog.clear()
    answers.clear()
    stream.destroy()
    options.onClose()
  }

  /** Both sides have closed when the stream is: ending ours alone would reset bytes that the client has not read. */
  const flushAndEnd = (): void => {
    if (ended) return
    cancelLinger ??= clock.after(limits.lingerMs, end)
    output.whenFlushed(() => {
      stream.end()
      stream.resume()
    })
  }

  const close = (abrupt = false): void => {
    if (abrupt) end()
    if (closing) return
    closing = true
    backlog.clear()
    // What is under way is still answered.
    if (!running && answers.waiting() === 0) flushAndEnd()
  }

  const standsStill = (): void => {
    if (ended) return
    log('warn', 'a monitor does not read; its connection is closed', { session: session.id })
    end()
  }

  const notifications = createHeldLines({ output, clock, isOver: () => ended, standsStill })

  const sendNotification: WriteLine = (line) => {
    if (closing) return undefined
    lastActiveAt = turn.now()
    return notifications.send(line)
  }

  const conclude = (answer: Answer, { monitoring, weight }: Taken): void => {
    charsUnderWay -= weight
    if (ended || hungUp) return
    if (isStranger(session) !== isStranger(answer.session)) {
      const budget = answer.session.identity.kind === 'peer' ? options.peerLines : undefined
      lines.setLimit(isStranger(answer.session) ? limits.openLineBytes : limits.lineBytes, budget)
    }
    const isProven = isStranger(session) && !isStranger(answer.session)
    session = answer.session
    if (isProven) options.onProven?.()
    refusals = answer.accepted ? 0 : refusals + 1
    if (answer.text !== '') output.push(answer.text)
    if (monitoring && session.identity.kind !== 'owner') endMonitor()
    notifications.release()
    if (answer.subscribe !== undefined) {
      endMonitor()
      multiplexed = answer.subscribe.multiplexed === true
      unsubscribe = feed.subscribe(answer.subscribe, session.identity, sendNotification)
    }
    hungUp = answer.closes || (isStranger(session) && refusals >= limits.strangerErrors)
    if (hungUp) close()
  }

  const answers = createInOrder(conclude, () => {
    if (!running) goOn()
  })

  /** Whether a line has to wait for the answers to those before it. */
  const mustWait = (frame: Frame): boolean =>
    answers.waiting() > 0 &&
    (answers.waiting() >= limits.overlappingCommands || charsUnderWay >= mostChars(session) || !gate.overlaps(frame))

  /** @returns a promise until the next line may be looked at, undefined when it may be at once */
  const take = (frame: Frame): Promise<unknown> | undefined => {
    const monitoring = unsubscribe !== undefined
    const weight = weightOf(frame)
    charsUnderWay += weight
    if (multiplexed) notifications.hold()
    const outcome = gate.answer(session, frame, { signal, monitoring })
    const taken = { monitoring, weight }
    if (!('later' in outcome)) {
      dealtWith(frame)
      answers.add(outcome, taken)
      return undefined
    }
    const { later, isOrdered } = outcome
    if (frame.kind === 'line' && frame.release !== undefined) void later.then(frame.release)
    answers.add(later, taken)
    // A monitor hears nothing between a command and its reply, so that many replies under way would keep it silent.
    return isOrdered && !monitoring ? undefined : later
  }

  /** Answers what is queued, as long as the client reads; what is left waits until the output has drained. */
  const drain = (): void => {
    if (running || closing) return
    running = true
    let waiting: Promise<unknown> | undefined
    while (waiting === undefined && !closing && output.waiting() <= limits.unsentBytes) {
      const frame = backlog.peek()
      if (frame === undefined || mustWait(frame)) break
      backlog.start(frame)
      waiting = take(frame)
    }
    backlog.tidy()
    output.flush()
    if (waiting !== undefined) {
      void waiting.then(goOn)
      return
    }
    running = false
    rest()
  }

  const goOn = (): void => {
    running = false
    if (closing) rest()
    else drain()
  }

  /** Nothing can be taken now. */
  const rest = (): void => {
    if (closing) {
      if (answers.waiting() === 0) flushAndEnd()
    } else if (backlog.lines() > 0) return
    else if (finished && answers.waiting() === 0) close()
    else resumeReading()
  }

  /** Base Rust sends an empty line behind a command in the same write and expects one answer (page 05, 2.3). */
  const isEcho = (frame: Frame, index: number): boolean => index > 0 && frame.kind === 'line' && frame.text === ''

  /** Whether the answer to a line may leave at once: none waits before it. */
  const isIdle = (): boolean =>
    !running && unsubscribe === undefined && answers.waiting() === 0 && backlog.lines() === 0

  /** Answers a line whose answer is known. @returns false when it is not */
  const answerKnown = (text: string | undefined): boolean => {
    const known = text === undefined || output.waiting() > limits.unsentBytes ? undefined : gate.recall(session, text)
    if (known === undefined) return false
    refusals = 0
    output.push(known.told, known.toldBytes)
    output.flush()
    return true
  }

  stream.on('data', (chunk: Uint8Array) => {
    if (closing) return
    lastActiveAt = turn.now()
    const idle = isIdle()
    if (idle && answerKnown(lines.soleLine(chunk))) return
    const came = lines.push(chunk)
    const frames = came.length > 1 ? came.filter((frame, index) => !isEcho(frame, index)) : came
    let known = 0
    if (idle) while (answerKnown(textOf(frames[known]))) known++
    if (known === frames.length && !isAhead()) return
    backlog.add(known === 0 ? frames : frames.slice(known))
    if (isAhead()) stream.pause()
    drain()
  })
  stream.on('end', () => {
    finished = true
    if (!running && backlog.lines() === 0 && answers.waiting() === 0) close()
  })
  stream.on('error', (error) => {
    log('debug', 'connection lost', { session: session.id, reason: error.message })
    end()
  })
  stream.on('close', end)
  // The greeting is one byte in a write of its own: C and Python clients block until they read exactly it.
  stream.write('@')

  return { session: () => session, createdAt, lastActiveAt: () => lastActiveAt, close }
}
