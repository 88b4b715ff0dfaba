import { keyKind, parseAtKey } from '../core/at-key.ts'
import { limits } from '../core/limits.ts'
import type { Durability } from '../core/storage.ts'
import { bounds } from './bounds.ts'
import { type JsonPath, parseJsonPath } from './json-path.ts'
import { type Captures, parseTopicFilter, type TopicFilter } from './topic.ts'

/** What becomes of the messages of some topics, as configured. */
export interface Rule {
  /** MQTT topic filter; `+name` and `#name` capture. */
  readonly topic: string
  /** Record name with captures in braces: `temperature.{device}`. The namespace is appended. */
  readonly key: string
  /** Path into a JSON payload; without it the whole payload is the value. */
  readonly value?: string
  readonly unit?: string
  /** `json`: `{"value":21.4,"unit":"°C","time":"…"}` (default); `raw`: the bare value. */
  readonly format?: 'json' | 'raw'
  /** atSigns, `self` (default) or `public`. */
  readonly recipients?: readonly string[]
  /** Whether the reading becomes a record; default true. */
  readonly update?: boolean
  /**
   * Whether the reading becomes a notification; default false, because updates of shared records notify by themselves.
   * An `ephemeral` one lives in memory alone, here and at the recipient: nothing of it is written to flash.
   */
  readonly notify?: boolean | 'ephemeral'
  /** When the sensor is acknowledged; as the store does unless told. */
  readonly durability?: Durability
  /** Life of the record in milliseconds. */
  readonly ttl?: number
  /** Seconds for which recipients may keep a copy, -1 for ever. */
  readonly ttr?: number
  /** Milliseconds between two readings of one key. */
  readonly minInterval?: number
  /** Least change of a number between two readings of one key. */
  readonly changeThreshold?: number
}

/** How a reading leaves the bridge. */
export interface Delivery {
  readonly recipients: readonly string[]
  readonly update: boolean
  readonly notify: boolean | 'ephemeral'
  readonly durability?: Durability
  readonly ttl?: number
  readonly ttr?: number
}

/** A rule made ready. */
export interface CompiledRule {
  readonly index: number
  readonly rule: Rule
  readonly filter: TopicFilter
  /** Texts and capture names in turn: `temperature.{device}` is `['temperature.', 'device', '']`. */
  readonly template: readonly string[]
  readonly path: JsonPath | undefined
  readonly delivery: Delivery
}

/** A fault of a rule: the member of the rule and a sentence. */
export interface RuleFault {
  readonly member: keyof Rule
  readonly message: string
}

/** Compiles one rule, or says what is wrong with it. */
export function compileRule(rule: Rule, index: number, namespace: string): CompiledRule | RuleFault {
  const filter = parseTopicFilter(rule.topic)
  if (typeof filter === 'string') return { member: 'topic', message: filter }
  const template = rule.key.split(/[{}]/)
  const keyFault = faultOfKey(rule.key, template, filter, namespace)
  if (keyFault !== undefined) return { member: 'key', message: keyFault }
  const path = rule.value === undefined ? undefined : parseJsonPath(rule.value)
  if (typeof path === 'string') return { member: 'value', message: path }
  const delivery = deliveryOf(rule)
  if (!delivery.update && delivery.notify === false)
    return { member: 'update', message: 'update and notify are both off' }
  if (!delivery.update && !delivery.recipients.every((to) => to.startsWith('@'))) {
    return { member: 'recipients', message: 'only an atSign can be notified; self and public need update' }
  }
  return { index, rule, filter, template, path, delivery }
}

function faultOfKey(key: string, template: readonly string[], filter: TopicFilter, namespace: string) {
  if (!/^(?:[^{}]|\{[^{}]*\})*$/.test(key)) return 'has a brace without its partner'
  if (/[:@]/.test(key)) return 'expected a bare name; owner, namespace and recipients are added'
  const unknown = template.find((name, i) => i % 2 === 1 && !filter.names.includes(name))
  if (unknown !== undefined) return `{${unknown}} is not caught by the topic; write +${unknown} or #${unknown} there`
  const sample = recordName(template.map((part, i) => (i % 2 === 1 ? 'x' : part)).join(''), namespace)
  return 'problem' in sample ? sample.problem : undefined
}

const deliveryOf = ({
  recipients = ['self'],
  update = true,
  notify = false,
  durability,
  ttl,
  ttr,
}: Rule): Delivery => ({
  recipients: [...new Set(recipients)],
  update,
  notify,
  ...(durability === undefined ? {} : { durability }),
  ...(ttl === undefined ? {} : { ttl }),
  ...(ttr === undefined ? {} : { ttr }),
})

// Leaves room for the longest recipient in front of the name and the longest owner behind it.
const mostName = limits.keyLength - 2 * limits.atSignLength - 1

function recordName(name: string, namespace: string): { name: string } | { problem: string } {
  if (/^$|^\.|\.\.|\.$/.test(name)) return { problem: `the record name "${name.slice(0, 64)}" has an empty part` }
  if (name.length + namespace.length >= mostName)
    return { problem: `the record name is longer than ${mostName} characters` }
  try {
    const key = parseAtKey(`${name}.${namespace}@owner`)
    return keyKind(key) === 'self' ? { name: key.entity } : { problem: `${key.entity} is a reserved name` }
  } catch (cause) {
    return { problem: cause instanceof Error ? cause.message : String(cause) }
  }
}

/** Name of the record for what a topic caught, with its namespace. */
export function nameRecord({ template }: CompiledRule, captures: Captures, namespace: string) {
  const parts = template.map((part, i) => (i % 2 === 0 ? part : (captures.get(part) ?? []).map(sanitise).join('.')))
  return recordName(parts.join(''), namespace)
}

/**
 * One topic level in the alphabet of record names: lower case, without accents; other letters and digits become their
 * code points, so that two names in another script stay two names, and everything else becomes `_`.
 */
export function sanitise(level: string): string {
  const plain = level.slice(0, bounds.pathLength).normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase()
  return plain.replaceAll(/[^a-z0-9_-]/gu, (char) =>
    /[\p{L}\p{N}]/u.test(char) ? `u${char.codePointAt(0)?.toString(16)}` : '_',
  )
}
