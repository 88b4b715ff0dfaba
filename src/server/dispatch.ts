import { type Identity, permits } from '../core/access.ts'
import type { AtSign } from '../core/at-sign.ts'
import { type Cache, createCache } from '../core/cache.ts'
import { AtError, authenticationRequired, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Log, oncePerMinute } from '../core/log.ts'
import { promptOf, type Session, sessionKind } from '../core/session.ts'
import type { Durability } from '../core/storage.ts'
import { type AnyVerb, findVerb } from '../verbs/table.ts'
import type { Nested, Ports } from '../verbs/verb.ts'
import type { Frame } from '../wire/framing.ts'
import { ownTexts } from '../wire/own-text.ts'
import { redact } from '../wire/redact.ts'
import { errorLine, type Reply, type Subscription } from '../wire/reply.ts'

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
  /** Resolves when the change of this line has its place in the order of changes; undefined for a line that overlaps with none. */
  readonly staged: Promise<void> | undefined
}

/** The one way from a line to its answer. */
export interface Gate {
  /** Judges and runs one line; never throws. A line that waits for nothing is answered at once. */
  answer(session: Session, frame: Frame, context: GateContext): Answer | Later
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
const hasNul = (): AtError => invalidSyntax('the line holds a NUL character')
/** Not AT0005: whoever hears that gives the notification up, and this one may be sent again. */
const noRoom = (): AtError => new AtError('AT0028', 'too many long lines at one time; send it again later')
/** Browsers can be made to send commands as the body of a request; the connection closes before any is read. */
const requestLine = /^[\w!#$%&'*+.^`|~-]+ .+ HTTP\/\d(?:\.\d)?$/
const notHttp = (): AtError => new AtError('AT0003', 'HTTP requests must negotiate ALPN http/1.1', { closes: true })
const notUtf8 = (): AtError => invalidSyntax('the line is not valid UTF-8')
const hint = (verb: AnyVerb): string => `e.g. ${(verb.examples[0] ?? verb.name).slice(0, 80)}`

/** Parses, and words a syntax error with the verb's name and an example, unless its words are settled. */
function parse(verb: AnyVerb, rest: string): unknown {
  try {
    return verb.grammar.parse(rest)
  } catch (error) {
    if (error instanceof AtError && error.code === 'AT0003' && !error.verbatim) {
      throw invalidSyntax(`Invalid syntax in ${verb.name}: ${error.message}; ${hint(verb)}`)
    }
    throw error
  }
}

/** Lets a command go when it takes longer than any peer may; the connection lives on. */
function withDeadline(work: Promise<Reply>, ports: Ports, verb: AnyVerb): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const cancel = ports.clock.after(limits.commandMs, () =>
      reject(new AtError('AT0023', `${verb.name} took longer than ${limits.commandMs} ms`)),
    )
    work.then(resolve, reject).finally(cancel)
  })
}

/** Faults that no catalogue entry stands for are logged whole and told as AT0011 without details. */
function asAtError(error: unknown, log: Log): AtError {
  if (error instanceof AtError) return error
  log('error', 'a command failed unexpectedly', { error })
  return new AtError('AT0011', 'unexpected fault, see the log of the atServer')
}

/** @throws AtError AT0003 for a line that is none of the atProtocol */
function refuseForeign(text: string): void {
  if (text.includes(' HTTP/') && requestLine.test(text)) throw notHttp()
  // Clients in C end a text there.
  if (text.includes('\0')) throw hasNul()
}

/** A line that was parsed. */
interface Parsed {
  readonly verb: AnyVerb
  readonly params: unknown
  /** Text behind the verb's name. */
  readonly rest: string
  /** Of a line that is remembered, whom it was last permitted to: what it touches depends on who asks alone. */
  permittedTo: Identity | undefined
}

/** Longest line that is remembered, in characters. */
const rememberedChars = 300

/** @throws AtError AT0003 for an unknown verb */
function verbOf(text: string): { verb: AnyVerb; rest: string } {
  const found = findVerb(text)
  if (found === undefined) throw invalidSyntax('invalid command')
  return found
}

/**
 * Who reads, reads the same again and again: lines of verbs that say so are parsed once. Parameters are never edited.
 * @returns the verb of a line that a session may use, with what it asks for
 * @throws AtError AT0003, AT0401 and whatever parsing throws
 */
function read(text: string, { session, remembered }: Gatekeeping): Parsed {
  const known = remembered.get(text)?.value
  if (known === undefined) refuseForeign(text)
  const { verb, rest } = known ?? verbOf(text)
  if (!verb.admits.includes(sessionKind(session))) throw authenticationRequired()
  if (known !== undefined) return known
  // What a verb keeps must not keep the line.
  const parsed: Parsed = { verb, params: ownTexts(parse(verb, rest), text.length), rest, permittedTo: undefined }
  if (verb.repeats === true && text.length <= rememberedChars) remembered.offer(text, parsed)
  return parsed
}

/** @throws AtError the refusal of the first key that the session may not touch */
function judge(parsed: Parsed, { session, ports }: Gatekeeping): void {
  // An identity is replaced as a whole, never edited.
  if (parsed.permittedTo === session.identity) return
  for (const access of parsed.verb.access?.(parsed.params, session, ports.self) ?? []) {
    const refusal = permits(session.identity, access)
    if (refusal !== undefined) throw refusal
  }
  parsed.permittedTo = session.identity
}

/** What every line of one connection is judged and run with. */
interface Gatekeeping {
  readonly remembered: Cache<Parsed>
  readonly ports: Ports
  readonly log: Log
  readonly session: Session
  readonly signal: AbortSignal
  readonly nested: () => Nested
  /** Set for a verb that overlaps: resolves as soon as its change has its place in the order of changes. */
  staged?: Promise<void> | undefined
}

/** The same ports, whose changes are acknowledged as the session may ask for. */
const durable = (ports: Ports, durability: Durability): Ports => ({
  ...ports,
  write: (change, how) => ports.write(change, { ...how, durability }),
})

/** The same ports, with word of when a change was staged. */
function announcing(ports: Ports, gate: Gatekeeping): Ports {
  let announce = (): void => {}
  gate.staged = new Promise((resolve) => {
    announce = resolve
  })
  return {
    ...ports,
    write(change, options) {
      const written = ports.write(change, options)
      announce()
      return written
    },
  }
}

function answerText(text: string, gate: Gatekeeping): Reply | Promise<Reply> {
  const { ports } = gate
  const parsed = read(text, gate)
  judge(parsed, gate)
  const { verb, params, rest } = parsed
  const own = mayOverlap(verb, rest) ? announcing(ports, gate) : ports
  const outcome = verb.run(params, own, gate)
  return outcome instanceof Promise ? withDeadline(outcome, ports, verb) : outcome
}

/** The block list, and documents, in which any key may be spelled with escapes. */
const blockListOrDocument = /private:blocklist|^(?::nc)?:json:/iu

/** Commands read the block list as it is on flash, so what may write it is over before the next one starts. */
const mayOverlap = (verb: AnyVerb, rest: string): boolean => verb.overlaps === true && !blockListOrDocument.test(rest)

const refused = (error: unknown, log: Log): Reply => ({
  text: undefined,
  answered: true,
  error: asAtError(error, log),
})

/** What a line comes to, errors included. */
function settled<T>(answer: (of: T, gate: Gatekeeping) => Reply | Promise<Reply>, of: T, gate: Gatekeeping) {
  const { log } = gate
  try {
    const outcome = answer(of, gate)
    return outcome instanceof Promise ? outcome.catch((error: unknown) => refused(error, log)) : outcome
  } catch (error) {
    return refused(error, log)
  }
}

/** The same gate once more, for a line inside a `batch`. */
const nestedIn = (gate: Gatekeeping): Nested => ({
  verbOf: (line) => findVerb(line)?.verb.name,
  run: async (line) => {
    const inner: Gatekeeping = { ...gate, staged: undefined, nested: () => nestedIn(inner) }
    return settled(answerText, line, inner)
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
  const remembered = createCache<Parsed>(limits.parsedLineBytes, (text) => 300 + 2 * text.length)
  const byDurability = { group: durable(ports, 'group'), interval: durable(ports, 'interval') }
  const warn = oncePerMinute(log, ports.clock)
  const note = (session: Session, frame: Frame, { error }: Reply): void => {
    if (log.enabled?.('debug') === false) return
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
    overlaps(frame) {
      const found = frame.kind === 'line' ? findVerb(frame.text) : undefined
      return found !== undefined && mayOverlap(found.verb, found.rest)
    },
    answer(session, frame, { signal, monitoring }) {
      const own = session.durability === undefined ? ports : byDurability[session.durability]
      const gate: Gatekeeping = {
        remembered,
        ports: own,
        log,
        session,
        signal,
        nested: () => nestedIn(gate),
        staged: undefined,
      }
      const outcome = settled(answerFrame, frame, gate)
      if (!(outcome instanceof Promise)) return conclude(session, frame, outcome, monitoring)
      const later = outcome.then((reply) => conclude(session, frame, reply, monitoring))
      const { staged } = gate
      // A refusal before the change is staged ends the wait as well.
      return { later, staged: staged && Promise.race([staged, later.then(() => {})]) }
    },
  }
}
