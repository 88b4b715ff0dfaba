import { type Identity, permits } from '../core/access.ts'
import type { AtSign } from '../core/at-sign.ts'
import { type Cache, createCache } from '../core/cache.ts'
import { AtError, authenticationRequired, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Session, sessionKind } from '../core/session.ts'
import { type AnyVerb, findVerb } from '../verbs/table.ts'
import type { Ports } from '../verbs/verb.ts'
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
  /** Of a line that is remembered, whom it was last permitted to: what it touches depends on who asks alone. */
  permittedTo: Identity | undefined
  /** The last answer whose verb names the source of it, and to whom it went. */
  told: { readonly to: Identity; readonly source: object; readonly text: string } | undefined
}

/** Longest line, and longest answer, that is remembered, in characters. */
const rememberedChars = 300
const rememberedAnswerChars = 300

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
export function readLine(text: string, session: Session, remembered: Cache<Parsed>): Parsed {
  const known = remembered.get(text)?.value
  if (known === undefined) refuseForeign(text)
  const { verb, rest } = known ?? verbOf(text)
  if (!verb.admits.includes(sessionKind(session))) throw authenticationRequired()
  if (known !== undefined) return known
  // What a verb keeps must not keep the line.
  const parsed: Parsed = {
    verb,
    params: ownTexts(parse(verb, rest), text.length),
    rest,
    permittedTo: undefined,
    told: undefined,
  }
  if (verb.repeats === true && text.length <= rememberedChars) remembered.offer(text, parsed)
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

/** Lines that were parsed before. */
export const rememberLines = (): Cache<Parsed> =>
  createCache(
    limits.parsedLineBytes,
    (text, parsed) => 400 + text.length + (parsed?.verb.source === undefined ? 0 : rememberedAnswerChars),
  )

/** Keeps an answer for the next time, where its verb allows that. */
export function keepAnswer(parsed: Parsed, text: string, session: Session, ports: Ports): void {
  const source = text.length > rememberedAnswerChars ? undefined : parsed.verb.source?.(parsed.params, ports)
  if (source !== undefined) parsed.told = { to: session.identity, source, text }
}

/** @returns the answer that was kept, if it is right still and was given to the same identity */
export function keptAnswer({ told, verb, params }: Parsed, session: Session, ports: Ports): string | undefined {
  if (told === undefined || told.to !== session.identity) return undefined
  return verb.source?.(params, ports) === told.source ? told.text : undefined
}
