import * as v from 'valibot'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { parseDuration } from './duration.ts'
import { nearest } from './nearest.ts'

// Small schemas whose refusals are sentences: "expected <what>, not <what was written>".

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

const judged = <I, T>(expected: string, read: (value: I) => T | undefined) =>
  v.rawTransform<I, T>(({ dataset, addIssue, NEVER }) => {
    const result = read(dataset.value)
    if (result !== undefined) return result
    addIssue({ message: `expected ${expected}, not ${shown(dataset.value)}` })
    return NEVER
  })

/** A value that `read` turns into what the program uses; undefined refuses it. `expected` completes "expected …". */
export const leaf = <T>(expected: string, read: (value: unknown) => T | undefined) =>
  v.pipe(v.unknown(), v.description(expected), judged(expected, read))

/** Some text, matched by `shape`. */
export const text = (expected: string, shape = /^.{1,1024}$/u) =>
  leaf(expected, (value) => (typeof value === 'string' && shape.test(value) ? value : undefined))

/** One word of a list. */
export const oneOf = <const W extends string>(...words: readonly W[]) =>
  leaf(`one of ${words.join(', ')}`, (value) => words.find((word) => word === value))

/** `true` or `false`. */
export const flag = leaf('true or false', (value) => (typeof value === 'boolean' ? value : undefined))

/** `true`, `false` or one of the words. */
export const flagOr = <const W extends string>(...words: readonly W[]) =>
  leaf(`true, false or ${words.join(', ')}`, (value) =>
    typeof value === 'boolean' ? value : words.find((word) => word === value),
  )

const isBetween = (value: unknown, least: number, most: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most

/** A whole number within bounds, both included. */
export const count = (what: string, least: number, most: number) =>
  leaf(`${what} from ${least} to ${most}`, (value) => (isBetween(value, least, most) ? value : undefined))

/** The same, or its digits: without a default, nothing tells that a variable of the environment is a number. */
export const countOrDigits = (what: string, least: number, most: number) =>
  leaf(`${what} from ${least} to ${most}`, (value) => {
    const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
    return isBetween(number, least, most) ? number : undefined
  })

/** A duration within bounds, in milliseconds once read. `bounds` words them. */
export const duration = (bounds = '', least = 0, most = Number.POSITIVE_INFINITY) =>
  leaf(`a duration such as 500ms, 10s, 15m, 1h or 7d${bounds}`, (value) => {
    const ms = typeof value === 'string' ? parseDuration(value) : undefined
    return ms !== undefined && ms >= least && ms <= most ? ms : undefined
  })

const readAtSign = (value: unknown): AtSign | undefined => {
  if (typeof value !== 'string' || !value.startsWith('@')) return undefined
  try {
    return parseAtSign(value)
  } catch {
    return undefined
  }
}

const anAtSign = "an atSign in quotes, such as '@device'"

/** An atSign, normalised. */
export const atSign = leaf(anAtSign, readAtSign)

/** A map from atSigns to something. */
export const byAtSign = <O>(value: v.GenericSchema<unknown, O>) =>
  v.pipe(
    v.record(
      v.pipe(v.string(), judged<string, AtSign>(anAtSign, readAtSign)),
      value,
      'expected a map from atSigns to addresses',
    ),
    v.transform((entries) => entries as Readonly<Record<AtSign, O>>),
  )

/** An atSign or one of the words. */
export const atSignOr = <const W extends string>(...words: readonly W[]) =>
  leaf(`${words.map((word) => `'${word}'`).join(', ')} or ${anAtSign}`, (value) => {
    return words.find((word) => word === value) ?? readAtSign(value)
  })

/** Host name or address of the machine to listen on or to connect to. */
export const hostName = text('a host name or an address', /^[A-Za-z0-9._:%-]{1,253}$/)

/** TCP port to listen on; 0 asks the system for a free one. */
export const listenPort = count('a port', 0, 65_535)

/** TCP port to connect to. */
export const remotePort = count('a port', 1, 65_535)

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A map with known keys. An unknown one is refused by name, with the key that was probably meant. */
export function section<E extends v.ObjectEntries>(entries: E) {
  const names = Object.keys(entries)
  const refuse = (issue: v.StrictObjectIssue): string => {
    const key = String(issue.path?.[0]?.key)
    if (issue.expected !== 'never') {
      const entry = entries[key]
      const expected = entry === undefined ? undefined : v.getDescription(entry as v.GenericSchema)
      return expected === undefined ? 'is missing' : `is missing; expected ${expected}`
    }
    const guess = nearest(key, names)
    return `is not a known key${guess === undefined ? `; known are ${names.join(', ')}` : `; did you mean ${guess}?`}`
  }
  return v.pipe(
    v.custom<Record<string, unknown>>(isPlain, (issue) => {
      return `expected a section with keys such as ${names.slice(0, 3).join(', ')}, not ${shown(issue.input)}`
    }),
    v.strictObject(entries, refuse),
  )
}
