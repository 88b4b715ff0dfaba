import { type Identity, permits } from '../core/access.ts'
import type { AtSign } from '../core/at-sign.ts'
import { createRecurrence } from '../core/cache.ts'
import { AtError, authenticationRequired, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Session, sessionKind } from '../core/session.ts'
import { type AnyVerb, findVerb } from '../verbs/table.ts'
import type { Ports } from '../verbs/verb.ts'
import { replacement } from '../wire/framing.ts'
import { ownTexts } from '../wire/own-text.ts'

const hasNul = (): AtError => invalidSyntax('the line holds a NUL character')
/** Browsers can be made to send commands as the body of a request; the connection closes before any is read. */
const requestLine = /^[\w!#$%&'*+.^`|~-]+ .+ HTTP\/\d(?:\.\d)?$/
const notHttp = (): AtError => new AtError('AT0003', 'HTTP requests must negotiate ALPN http/1.1', { closes: true })
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

/** @throws AtError AT0003 for a line that is none of the atProtocol */
function refuseForeign(text: string): void {
  if (text.includes(' HTTP/') && requestLine.test(text)) throw notHttp()
  // Clients in C end a text there.
  if (text.includes('\0')) throw hasNul()
}

/** A line that was parsed. */
export interface Parsed {
  readonly verb: AnyVerb
  readonly params: unknown
  /** Text behind the verb's name. */
  readonly rest: string
  isRemembered: boolean
  /** Of a line that is remembered, whom it was last permitted to: what it touches depends on who asks alone. */
  permittedTo: Identity | undefined
  /**
   * The last answer whose verb names the source of it, to whom it went, and the version of the records that it is right for.
   * A short answer may come from a large record, which is not kept.
   */
  told: string
  toldBytes: number
  toldTo: Identity | undefined
  toldSource: WeakRef<object> | undefined
  toldVersion: number
}

/** Lines that were parsed before. */
export interface RememberedLines {
  /** @param text trimmed, or as it came: what is remembered is trimmed, and without bytes that are not UTF-8 */
  get(text: string): Parsed | undefined
  /** Remembers a line that was offered not long ago already. */
  offer(text: string, parsed: Parsed): void
}

/** Longest line, and longest answer, that is remembered, in characters. */
const rememberedChars = 300
const rememberedAnswerChars = 300

/** Bytes that are not UTF-8 are read as U+FFFD, and must not be taken for a text that has it. */
const isMemorable = (text: string): boolean => text.length <= rememberedChars && !text.includes(replacement)

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
export function readLine(text: string, session: Session, remembered: RememberedLines): Parsed {
  const known = remembered.get(text)
  if (known === undefined) refuseForeign(text)
  const { verb, rest } = known ?? verbOf(text)
  if (!verb.admits.includes(sessionKind(session))) throw authenticationRequired()
  if (known !== undefined) return known
  // What a verb keeps must not keep the line.
  const parsed: Parsed = {
    verb,
    params: ownTexts(parse(verb, rest), text.length),
    rest,
    isRemembered: false,
    permittedTo: undefined,
    told: '',
    toldBytes: 0,
    toldTo: undefined,
    toldSource: undefined,
    toldVersion: -1,
  }
  if (verb.repeats === true && isMemorable(text)) remembered.offer(text, parsed)
  return parsed
}

/** @throws AtError the refusal of the first key that the session may not touch */
export function judge(parsed: Parsed, session: Session, self: AtSign): void {
  // An identity is replaced as a whole, never edited.
  if (parsed.permittedTo === session.identity) return
  for (const access of parsed.verb.access?.(parsed.params, session, self) ?? []) {
    const refusal = permits(session.identity, access)
    if (refusal !== undefined) throw refusal
  }
  parsed.permittedTo = session.identity
}

/** Two generations: when the younger one is full, the older one is forgotten. */
export function rememberLines(): RememberedLines {
  let young = new Map<string, Parsed>()
  let old = new Map<string, Parsed>()
  let recurs: ((text: string) => boolean) | undefined
  const keep = (text: string, parsed: Parsed): void => {
    if (young.size >= limits.rememberedLines) {
      old = young
      young = new Map()
    }
    young.set(text, parsed)
  }
  return {
    get(text) {
      // To look for a long text is to read all of it.
      if (text.length > rememberedChars) return undefined
      const hit = young.get(text)
      if (hit !== undefined) return hit
      const parsed = old.get(text)
      if (parsed !== undefined) keep(text, parsed)
      return parsed
    },
    offer(text, parsed) {
      recurs ??= createRecurrence()
      if (!recurs(text)) return
      parsed.isRemembered = true
      keep(text, parsed)
    },
  }
}

/** @returns undefined as well when it cannot be read: running the command tells why */
function sourceOf({ verb, params }: Parsed, ports: Ports): object | undefined {
  try {
    return verb.source?.(params, ports)
  } catch {
    return undefined
  }
}

/** Keeps the answer to a line that is remembered, where its verb allows that. What is asked once is not looked for again. */
export function keepAnswer(parsed: Parsed, text: string, session: Session, ports: Ports): void {
  const source = parsed.isRemembered && text.length <= rememberedAnswerChars ? sourceOf(parsed, ports) : undefined
  if (source === undefined) return
  const bytes = Buffer.from(text)
  // V8 would go on to hold the pieces that the text was joined from.
  parsed.told = bytes.toString()
  parsed.toldBytes = bytes.length
  parsed.toldTo = session.identity
  parsed.toldSource = new WeakRef(source)
  parsed.toldVersion = ports.records.version()
}

/** @returns whether the answer that was kept is right still, and was given to the same identity */
export function isKept(parsed: Parsed, session: Session, ports: Ports): boolean {
  if (parsed.toldTo !== session.identity) return false
  const version = ports.records.version()
  if (parsed.toldVersion === version) return true
  const source = sourceOf(parsed, ports)
  if (source === undefined || source !== parsed.toldSource?.deref()) return false
  parsed.toldVersion = version
  return true
}
