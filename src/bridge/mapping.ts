import { isUtf8 } from 'node:buffer'
import { type Cache, createCache } from '../core/cache.ts'
import { bounds } from './bounds.ts'
import { valueAt } from './json-path.ts'
import { type CompiledRule, compileRule, type Delivery, nameRecord, type Rule, type RuleFault } from './rule.ts'
import { matchTopic } from './topic.ts'

export type { Delivery, Rule } from './rule.ts'

/** Rules made ready by `compileRules`. */
export interface Mapping {
  readonly rules: readonly CompiledRule[]
  readonly namespace: string
  /** Where the topics that came last go. */
  readonly routes: Cache<readonly Route[]>
}

/** What a rule that takes a topic makes of it: the name of a record, or why there is none. */
interface Route {
  readonly rule: CompiledRule
  readonly named: ReturnType<typeof nameRecord>
}

/** One value of one sensor at one time. */
export interface Reading {
  readonly rule: CompiledRule
  /** Record name with namespace, without owner and recipient: `temperature.kitchen.sensors`. */
  readonly key: string
  readonly value: string | number | boolean
  /** The value as it is written into the record. */
  readonly text: string
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly delivery: Delivery
}

/** A message that a rule takes and cannot use. */
export interface Problem {
  readonly rule: CompiledRule
  /** One sentence with rule, topic and reason; no part of the payload. */
  readonly message: string
}

/** What a message comes to: empty lists when no rule takes it. */
export interface Mapped {
  readonly readings: readonly Reading[]
  readonly problems: readonly Problem[]
}

const isFault = (result: CompiledRule | RuleFault): result is RuleFault => 'member' in result

/** Every fault of some rules, by path: `[0, 'topic']`. */
export function checkRules(
  rules: readonly Rule[],
  namespace: string,
): { path: (string | number)[]; message: string }[] {
  return rules
    .map((rule, i) => ({ i, result: compileRule(rule, i, namespace) }))
    .flatMap(({ i, result }) => (isFault(result) ? [{ path: [i, result.member], message: result.message }] : []))
}

/**
 * Makes rules ready to map messages.
 * @param namespace appended to the name of every record
 * @throws Error that names the first rule at fault, its member and the reason
 */
export function compileRules(rules: readonly Rule[], namespace: string): Mapping {
  const compiled = rules.map((rule, i) => {
    const result = compileRule(rule, i, namespace)
    if (isFault(result)) throw new Error(`rules[${i}].${result.member}: ${result.message}`)
    return result
  })
  const sizeOf = (topic: string, routes: readonly Route[] = []) => 2 * topic.length + 128 + 192 * routes.length
  return { rules: compiled, namespace, routes: createCache(bounds.routeBytes, sizeOf) }
}

/** Sensors send to few topics again and again, so that each is looked at once. */
function routesOf({ rules, namespace, routes }: Mapping, topic: string): readonly Route[] {
  const known = routes.get(topic)?.value
  if (known !== undefined) return known
  const levels = topic.split('/')
  const found = rules.flatMap((rule) => {
    const captures = matchTopic(rule.filter, levels)
    return captures === undefined ? [] : [{ rule, named: nameRecord(rule, captures, namespace) }]
  })
  routes.set(topic, found)
  return found
}

/**
 * Turns a message into readings, one for each rule that takes its topic. Never throws.
 * @param at time of the message, milliseconds since the epoch
 */
export function map(mapping: Mapping, topic: string, payload: Uint8Array, at: number): Mapped {
  const readings: Reading[] = []
  const problems: Problem[] = []
  const decoded = decodeOnce(payload)
  for (const { rule, named } of routesOf(mapping, topic)) {
    const result = 'problem' in named ? named : valueFrom(rule, decoded)
    if ('name' in named && 'value' in result) {
      const { value } = result
      const text = textOf(rule.rule, value, at)
      readings.push({ rule, key: named.name, value, text, at, delivery: rule.delivery })
    } else if ('problem' in result) problems.push({ rule, message: sentence(rule, topic, result.problem) })
  }
  return { readings, problems }
}

const sentence = ({ index, rule }: CompiledRule, topic: string, reason: string): string =>
  `rule ${index + 1} (${rule.topic}) cannot use a message of ${topic.slice(0, 128)}: ${reason}`

type Refused = { readonly problem: string }
type Found = { readonly value: string | number | boolean }

interface Decoded {
  text(): { readonly text: string } | Refused
  json(): { readonly json: unknown } | Refused
}

/** Decodes and parses a payload at most once, however many rules ask. */
function decodeOnce(payload: Uint8Array): Decoded {
  let text: ReturnType<Decoded['text']> | undefined
  let json: ReturnType<Decoded['json']> | undefined
  const decoded: Decoded = {
    text: () => {
      text ??= decode(payload)
      return text
    },
    json: () => {
      json ??= parse(decoded.text())
      return json
    },
  }
  return decoded
}

function decode(payload: Uint8Array): { text: string } | Refused {
  if (payload.length > bounds.payloadBytes) return { problem: `it is longer than ${bounds.payloadBytes} bytes` }
  if (!isUtf8(payload)) return { problem: 'it is not UTF-8' }
  return { text: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8') }
}

function parse(decoded: { text: string } | Refused): { json: unknown } | Refused {
  if ('problem' in decoded) return decoded
  try {
    return { json: JSON.parse(decoded.text) }
  } catch {
    return { problem: 'it is not JSON' }
  }
}

function valueFrom({ path, rule }: CompiledRule, payload: Decoded): Found | Refused {
  const found = path === undefined ? wholeValue(payload.text()) : memberValue(payload.json(), path, rule.value ?? '$')
  if ('problem' in found || rule.format !== 'raw') return found
  // A record of the open protocol is one line; the json format escapes what would break it.
  if (/[\u0000-\u001f\u007f]/.test(String(found.value)))
    return { problem: 'it has control characters, which need format json' }
  return found
}

const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/** A number where nothing is lost by reading it as one, else the text. */
function wholeValue(decoded: { text: string } | Refused): Found | Refused {
  if ('problem' in decoded) return decoded
  const text = decoded.text.trim()
  if (text === '') return { problem: 'it is empty' }
  if (!jsonNumber.test(text)) return { value: text }
  const value = Number(text)
  const exact = Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))
  return { value: exact ? value : text }
}

function memberValue(decoded: { json: unknown } | Refused, path: readonly (string | number)[], spelled: string) {
  if ('problem' in decoded) return decoded
  const value = valueAt(decoded.json, path)
  if (value === undefined || value === null) return { problem: `it has no ${spelled}` }
  if (typeof value === 'number') {
    return Number.isFinite(value) ? { value } : { problem: `${spelled} is too large for a number` }
  }
  if (typeof value === 'string' || typeof value === 'boolean') return { value }
  return { problem: `${spelled} is ${Array.isArray(value) ? 'a list' : 'an object'}, not a single value` }
}

const textOf = ({ format = 'json', unit }: Rule, value: Found['value'], at: number): string =>
  format === 'raw'
    ? String(value)
    : JSON.stringify({ value, ...(unit === undefined ? {} : { unit }), time: new Date(at).toISOString() })
