import type { AtSign } from '../core/at-sign.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Log, oncePerMinute } from '../core/log.ts'
import { promptOf, type Session } from '../core/session.ts'
import type { Durability } from '../core/storage.ts'
import { findVerb } from '../verbs/table.ts'
import type { Nested, Ports } from '../verbs/verb.ts'
import type { Frame } from '../wire/framing.ts'
import { redact } from '../wire/redact.ts'
import { errorLine, type Reply, type Subscription } from '../wire/reply.ts'
import { createDeadlines, type Deadlines } from './deadlines.ts'
import { isKept, judge, keepAnswer, type Parsed, type RememberedLines, readLine, rememberLines } from './read-line.ts'

/** What became of one line. */
export interface Answer {
  /** Bytes to send as text, prompt included; empty when nothing is said. */
  readonly text: string
  readonly session: Session
  readonly subscribe: Subscription | undefined
  readonly closes: boolean
  /** False when the line was refused; a stranger with many of those is sent away. */
  readonly accepted: boolean
}

/** The answer to a line that has to wait for something. */
export interface Later {
  /** Never rejects. */
  readonly later: Promise<Answer>
  /** Whether the change of this line has its place in the order of changes; else the next one waits for the answer. */
  readonly isOrdered: boolean
}

/** The one way from a line to its answer. */
export interface Gate {
  /** Judges and runs one line; never throws. A line that waits for nothing is answered at once. */
  answer(session: Session, frame: Frame, context: GateContext): Answer | Later
  /**
   * The answer to a line that was given to the same session before and is right still, when the session has no monitor.
   * @param text as it came, or trimmed
   * @returns the answer and its bytes; undefined when it is not known
   */
  recall(session: Session, text: string): { readonly told: string; readonly toldBytes: number } | undefined
  /** Whether a line may be started while earlier ones that may as well still wait for their commit. */
  overlaps(frame: Frame): boolean
}

/** What the gate needs to know of the connection. */
export interface GateContext {
  readonly signal: AbortSignal
  /** Set once the connection has a monitor: replies to the owner then carry no prompt (page 05, 2.2). */
  readonly monitoring: boolean
}

const tooLong = (): AtError =>
  new AtError(
    'AT0005',
    'InboundBuffer overflow: server received request which exceeded the buffer size limit. Terminating the connection.',
  )
/** Not AT0005: whoever hears that gives the notification up, and this one may be sent again. */
const noRoom = (): AtError => new AtError('AT0028', 'too many long lines at one time; send it again later')
const notUtf8 = (): AtError => invalidSyntax('the line is not valid UTF-8')
/** Faults that no catalogue entry stands for are logged whole and told as AT0011 without details. */
function asAtError(error: unknown, log: Log): AtError {
  if (error instanceof AtError) return error
  log('error', 'a command failed unexpectedly', { error })
  return new AtError('AT0011', 'unexpected fault, see the log of the atServer')
}

/** What every line of one connection is judged and run with. */
interface Gatekeeping {
  readonly remembered: RememberedLines
  readonly ports: Ports
  readonly deadlines: Deadlines
  readonly log: Log
  readonly session: Session
  readonly signal: AbortSignal
  readonly nested: () => Nested
  /** Set when the line was parsed. */
  parsed?: Parsed | undefined
}

/** Lets a command go when it takes longer than any peer may; the connection lives on. Never rejects. */
function inTime<T>(work: Promise<Reply>, gate: Gatekeeping, conclude: (reply: Reply) => T): Promise<T> {
  return new Promise((resolve) => {
    const takeBack = gate.deadlines.add(() => {
      const name = gate.parsed?.verb.name ?? 'the command'
      resolve(conclude(refused(new AtError('AT0023', `${name} took longer than ${limits.commandMs} ms`), gate.log)))
    })
    // What comes too late is nothing any more.
    const end = (reply: Reply): void => {
      if (takeBack()) resolve(conclude(reply))
    }
    work.then(end, (error: unknown) => end(refused(error, gate.log)))
  })
}

/** The same ports, whose changes are acknowledged as the session may ask for. */
const durable = (ports: Ports, durability: Durability): Ports => ({
  ...ports,
  write: (change, how) => ports.write(change, { ...how, durability }),
})

/** Tells whether a change was made while something ran: it has its place in the order of changes then. */
interface ChangeCount {
  changes: number
}

/** The same ports, whose changes are counted. */
const counting = (ports: Ports, count: ChangeCount): Ports => ({
  ...ports,
  write(change, options) {
    count.changes += 1
    return ports.write(change, options)
  },
})

function answerText(text: string, gate: Gatekeeping): Reply | Promise<Reply> {
  const { ports } = gate
  const parsed = readLine(text, gate.session, gate.remembered)
  gate.parsed = parsed
  judge(parsed, gate.session, ports.self)
  return parsed.verb.run(parsed.params, ports, gate)
}

const refused = (error: unknown, log: Log): Reply => ({
  text: undefined,
  answered: true,
  error: asAtError(error, log),
})

/** What a line comes to, errors that are known at once included. */
function settled<T>(answer: (of: T, gate: Gatekeeping) => Reply | Promise<Reply>, of: T, gate: Gatekeeping) {
  try {
    return answer(of, gate)
  } catch (error) {
    return refused(error, gate.log)
  }
}

/** The same gate once more, for a line inside a `batch`. */
const nestedIn = (gate: Gatekeeping): Nested => ({
  verbOf: (line) => findVerb(line)?.verb.name,
  run: async (line) => {
    const inner: Gatekeeping = { ...gate, parsed: undefined, nested: () => nestedIn(inner) }
    const outcome = settled(answerText, line, inner)
    return outcome instanceof Promise ? inTime(outcome, inner, (reply) => reply) : outcome
  },
})

function answerFrame(frame: Frame, gate: Gatekeeping): Reply | Promise<Reply> {
  if (frame.kind === 'tooLong') throw frame.noRoom ? noRoom() : tooLong()
  if (frame.kind === 'notUtf8') throw notUtf8()
  return answerText(frame.text, gate)
}

/** The bytes and effects of a reply for the session it came from. */
function encode(reply: Reply, session: Session, self: AtSign, monitoring: boolean): Answer {
  const next = reply.become === undefined ? session : { ...session, ...reply.become }
  const { error } = reply
  // An error to a peer ends in a plain prompt, as peers expect (page 01, section 2).
  const prompt = error !== undefined && next.identity.kind === 'peer' ? '@' : promptOf(next.identity, self)
  const line = error === undefined ? reply.text : errorLine(error, next.identity, next.clientVersion)
  const silentPrompt = monitoring && line !== undefined && next.identity.kind === 'owner'
  const text = reply.answered ? `${line === undefined ? '' : `${line}\n`}${silentPrompt ? '' : prompt}` : ''
  return {
    text,
    session: next,
    closes: reply.hangUp === true || error?.closes === true,
    accepted: error === undefined,
    subscribe: reply.subscribe,
  }
}

/** What no released server is answered: lines beyond every limit, and what is for or of somebody else. */
const foul: ReadonlySet<string> = new Set(['AT0005', 'AT0009'])

/**
 * The one gate of every command, on TLS and in-process connections alike. In this order: line limit, UTF-8, not HTTP, known verb,
 * session admitted, parsed, permitted, run within a deadline, encoded, logged.
 */
export function createGate(ports: Ports, log: Log): Gate {
  const remembered = rememberLines()
  const tells = log.enabled?.('debug') !== false
  const deadlines = createDeadlines(ports.clock, limits.commandMs)
  const count: ChangeCount = { changes: 0 }
  const usual = counting(ports, count)
  const byDurability = { group: durable(usual, 'group'), interval: durable(usual, 'interval') }
  let looked: { readonly frame: Frame; readonly overlaps: boolean } | undefined
  /** A connection asks before it has a line answered. */
  const overlaps = (frame: Frame): boolean => {
    if (looked?.frame !== frame) {
      const found = frame.kind === 'line' ? findVerb(frame.text) : undefined
      looked = { frame, overlaps: found?.verb.overlaps?.(found.rest) === true }
    }
    return looked.overlaps
  }
  const warn = oncePerMinute(log, ports.clock)
  const note = (session: Session, frame: Frame, { error }: Reply): void => {
    if (!tells) return
    log('debug', 'command', {
      session: session.id,
      line: frame.kind === 'line' ? redact(frame.text) : frame.kind,
      ...(error === undefined ? {} : { code: error.code }),
    })
  }
  const conclude = (session: Session, frame: Frame, reply: Reply, monitoring: boolean): Answer => {
    note(session, frame, reply)
    const { identity } = session
    if (identity.kind === 'peer' && reply.error !== undefined && foul.has(reply.error.code)) {
      warn('a peer was refused', { peer: identity.atSign, code: reply.error.code, reason: reply.error.message })
    }
    return encode(reply, session, ports.self, monitoring)
  }
  return {
    recall(session, text) {
      // A line of the log for each command goes the long way.
      if (tells) return undefined
      const parsed = remembered.get(text)
      return parsed !== undefined && isKept(parsed, session, ports) ? parsed : undefined
    },
    overlaps,
    answer(session, frame, { signal, monitoring }) {
      const own = session.durability === undefined ? usual : byDurability[session.durability]
      const gate: Gatekeeping = {
        remembered,
        ports: own,
        deadlines,
        log,
        session,
        signal,
        nested: () => nestedIn(gate),
        parsed: undefined,
      }
      const before = count.changes
      const outcome = settled(answerFrame, frame, gate)
      const isOrdered = outcome instanceof Promise && count.changes > before && overlaps(frame)
      // A long line stays no longer than its command.
      looked = undefined
      if (!(outcome instanceof Promise)) {
        const answer = conclude(session, frame, outcome, monitoring)
        if (answer.accepted && !monitoring && gate.parsed !== undefined)
          keepAnswer(gate.parsed, answer.text, session, own)
        return answer
      }
      const later = inTime(outcome, gate, (reply) => conclude(session, frame, reply, monitoring))
      return { later, isOrdered }
    },
  }
}
