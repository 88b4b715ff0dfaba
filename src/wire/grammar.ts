import { invalidSyntax } from '../core/errors.ts'
import { type Cursor, endOfTime, endOfValue, type Part, quote, segment } from './part.ts'
import type { ValueType } from './value-types.ts'

// What the verbs say their commands with, in one place.
export type { Cursor, Part } from './part.ts'
export { atSign, key, metadata, optionalAtSign } from './protocol-parts.ts'
export { bool, integer, oneOf, token, type ValueType } from './value-types.ts'

/** A whole command behind the verb's name. */
export interface Grammar<P> {
  /** @throws AtError AT0003, AT0011 or AT0016 that names the offending part */
  parse(text: string): P
  format(params: P): string
}

type Merge<T> = (T extends unknown ? (x: T) => void : never) extends (x: infer I) => void
  ? { [K in keyof I]: I[K] }
  : never
type ParamsOf<T> = T extends Part<infer P> ? P : never

/** What parts write, one behind the other. */
function writeAll<P>(parts: readonly Part<never>[], params: P): string {
  let text = ''
  for (const part of parts) text += (part as unknown as Part<P>).write(params)
  return text
}

/** Puts parts in sequence; all text must be used up. */
export function seq<const T extends readonly Part<never>[]>(...parts: T): Grammar<Merge<ParamsOf<T[number]>>> {
  type P = Merge<ParamsOf<T[number]>>
  return {
    parse(text) {
      const cursor: Cursor = { text, at: 0 }
      const out: Record<string, unknown> = {}
      for (const part of parts) part.read(cursor, out)
      if (cursor.at < text.length) throw invalidSyntax(`unexpected ${quote(text.slice(cursor.at))}`)
      return out as P
    },
    format: (params) => writeAll(parts, params),
  }
}

/** An optional `:word` out of a list, matched in any letter case; it must be followed by another part. */
export function opt<const N extends string, const W extends string>(name: N, ...words: W[]): Part<{ [K in N]?: W }> {
  const spelt = new Map(words.map((word) => [word.toLowerCase(), word]))
  return {
    read(cursor, out) {
      const found = segment(cursor)
      const word = found === undefined ? undefined : spelt.get(found.word)
      if (found === undefined || word === undefined || cursor.text[found.end] !== ':') return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
      out[name] = word
      cursor.at = found.end
    },
    write: (params) => (params[name] === undefined ? '' : `:${params[name]}`),
  }
}

/** An optional `:word` that stands for true, at the end or in front of another part. */
export function flag<const N extends string>(name: N, word: string = name): Part<{ [K in N]?: true }> {
  const folded = word.toLowerCase()
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found?.word !== folded) return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
      out[name] = true
      cursor.at = found.end
    },
    write: (params) => (params[name] ? `:${word}` : ''),
  }
}

/** An optional `:word:value`. */
export function param<const N extends string, T>(
  name: N,
  type: ValueType<T>,
  words: readonly string[] = [name],
): Part<{ [K in N]?: T }> {
  const folded = words.map((word) => word.toLowerCase())
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || !folded.includes(found.word) || cursor.text[found.end] !== ':') return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
      const from = found.end + 1
      const end = endOfValue(cursor.text, from)
      out[name] = type.parse(cursor.text.slice(from, end), name)
      cursor.at = end
    },
    write: (params) => {
      const value = params[name]
      return value === undefined ? '' : `:${words[0]}:${type.format(value as T)}`
    },
  }
}

/** Optional parts in any order, written in the order given here. */
export function anyOrder<const T extends readonly Part<never>[]>(...parts: T): Part<Merge<ParamsOf<T[number]>>> {
  return {
    read(cursor, out) {
      for (let before = -1; before !== cursor.at; ) {
        before = cursor.at
        for (const part of parts) part.read(cursor, out)
      }
    },
    write: (params) => writeAll(parts, params),
  }
}

/** A UTC time as a parameter value; kept as milliseconds. */
export function timeParam<const N extends string>(name: N, type: ValueType<number>): Part<{ [K in N]?: number }> {
  const folded = name.toLowerCase()
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found?.word !== folded || cursor.text[found.end] !== ':') return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
      const from = found.end + 1
      const end = endOfTime(cursor.text, from)
      out[name] = type.parse(cursor.text.slice(from, end), name)
      cursor.at = end
    },
    write: (params) => {
      const value = params[name]
      return value === undefined ? '' : `:${name}:${type.format(value as number)}`
    },
  }
}

/** Everything behind the first blank; at least one character. */
export function text<const N extends string>(name: N): Part<{ [K in N]: string }> {
  return {
    read(cursor, out) {
      const value = cursor.text.slice(cursor.at + 1)
      if (cursor.text[cursor.at] !== ' ' || value.length === 0) throw invalidSyntax(`${name} is missing`)
      out[name] = value
      cursor.at = cursor.text.length
    },
    write: (params) => ` ${params[name]}`,
  }
}

/** An optional word behind a blank, such as a pattern. */
export function optionalWord<const N extends string>(name: N): Part<{ [K in N]?: string }> {
  return {
    read(cursor, out) {
      if (cursor.text[cursor.at] !== ' ') return
      const value = cursor.text.slice(cursor.at + 1).trim()
      if (/\s/.test(value)) throw invalidSyntax(`${name} takes one word`)
      if (value.length > 0) out[name] = value
      cursor.at = cursor.text.length
    },
    write: (params) => (params[name] === undefined ? '' : ` ${params[name]}`),
  }
}

/** Everything behind the next colon, colons included; at least one character, and of a shape where one is given. */
export function tail<const N extends string>(name: N, shape = /^.+$/s): Part<{ [K in N]: string }> {
  return {
    read(cursor, out) {
      const value = cursor.text.slice(cursor.at + 1)
      if (cursor.text[cursor.at] !== ':' || value.length === 0) throw invalidSyntax(`${name} is missing`)
      if (!shape.test(value)) throw invalidSyntax(`${name} does not take ${quote(value)}`)
      out[name] = value
      cursor.at = cursor.text.length
    },
    write: (params) => `:${params[name]}`,
  }
}

/** An optional `:word:` and everything behind it. */
export function optionalTail<const N extends string>(name: N): Part<{ [K in N]?: string }> {
  const folded = name.toLowerCase()
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found?.word !== folded) return
      const value = cursor.text[found.end] === ':' ? cursor.text.slice(found.end + 1) : ''
      if (value.length === 0) throw invalidSyntax(`${name} is empty`)
      out[name] = value
      cursor.at = cursor.text.length
    },
    write: (params) => (params[name] === undefined ? '' : `:${name}:${params[name]}`),
  }
}
