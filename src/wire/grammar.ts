import { type AtKey, parseAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { invalidSyntax } from '../core/errors.ts'
import { formatMetadata, type MetadataChange, metadataTag, parseTagValue } from '../core/metadata.ts'

/** A place in a command line, behind the verb's name. */
export interface Cursor {
  readonly text: string
  at: number
}

/**
 * One part of a command. `read` takes its text at the cursor and puts members into `out`;
 * `write` gives the text of those members back, so that `write(read(x))` is canonical.
 */
export interface Part<P> {
  read(cursor: Cursor, out: Record<string, unknown>): void
  write(params: P): string
}

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

const quote = (text: string): string => `"${text.slice(0, 32)}"`

/** The segment between the colon at the cursor and the next colon or blank, or undefined when no colon stands there. */
function segment({ text, at }: Cursor): string | undefined {
  if (text[at] !== ':') return undefined
  let end = at + 1
  while (end < text.length && text[end] !== ':' && text[end] !== ' ') end++
  return text.slice(at + 1, end)
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
    format: (params) => parts.map((part) => (part as unknown as Part<P>).write(params)).join(''),
  }
}

/** An optional `:word` out of a list, matched in any letter case; it must be followed by another part. */
export function opt<const N extends string, const W extends string>(name: N, ...words: W[]): Part<{ [K in N]?: W }> {
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || cursor.text[cursor.at + 1 + found.length] !== ':') return
      const word = words.find((candidate) => candidate.toLowerCase() === found.toLowerCase())
      if (word === undefined) return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
      out[name] = word
      cursor.at += 1 + found.length
    },
    write: (params) => (params[name] === undefined ? '' : `:${params[name]}`),
  }
}

/** An optional `:word` that stands for true, at the end or in front of another part. */
export function flag<const N extends string>(name: N, word: string = name): Part<{ [K in N]?: true }> {
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || found.toLowerCase() !== word.toLowerCase()) return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
      out[name] = true
      cursor.at += 1 + found.length
    },
    write: (params) => (params[name] ? `:${word}` : ''),
  }
}

/** How a parameter's text becomes a value and text again. */
export interface ValueType<T> {
  parse(text: string, name: string): T
  format(value: T): string
}

/** A whole number of at most 15 digits, not below `least`. */
export const integer = (least = 0): ValueType<number> => ({
  parse(text, name) {
    if (!/^(?!-0)-?\d{1,15}$/.test(text) || Number(text) < least) {
      throw invalidSyntax(`${name} takes a whole number from ${least}, not ${quote(text)}`)
    }
    return Number(text)
  },
  format: String,
})

/** Text without colons and blanks that matches a shape. */
export const token = (shape: RegExp = /^[^\s:]+$/): ValueType<string> => ({
  parse(text, name) {
    if (!shape.test(text)) throw invalidSyntax(`${name} does not take ${quote(text)}`)
    return text
  },
  format: (text) => text,
})

/** One of a list of words, in any letter case. */
export const oneOf = <const W extends string>(...words: W[]): ValueType<W> => ({
  parse(text, name) {
    const word = words.find((candidate) => candidate.toLowerCase() === text.toLowerCase())
    if (word === undefined) throw invalidSyntax(`${name} takes ${words.join(', ')}, not ${quote(text)}`)
    return word
  },
  format: (word) => word,
})

/** `true` or `false`. */
export const bool: ValueType<boolean> = {
  parse: (text, name) => oneOf('true', 'false').parse(text, name) === 'true',
  format: String,
}

const endOfValue = (text: string, from: number): number => {
  let end = from
  while (end < text.length && text[end] !== ':' && text[end] !== ' ') end++
  return end
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
      if (found === undefined || !folded.includes(found.toLowerCase())) return
      const from = cursor.at + 2 + found.length
      if (cursor.text[from - 1] !== ':') return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
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
  type P = Merge<ParamsOf<T[number]>>
  return {
    read(cursor, out) {
      for (let before = -1; before !== cursor.at; ) {
        before = cursor.at
        for (const part of parts) part.read(cursor, out)
      }
    },
    write: (params) => parts.map((part) => (part as unknown as Part<P>).write(params)).join(''),
  }
}

/** Metadata tags in any order, written in the canonical order (page 06, section 2). */
export const metadata: Part<{ metadata: MetadataChange }> = {
  read(cursor, out) {
    out['metadata'] ??= {}
    const change = out['metadata'] as Record<string, unknown>
    for (;;) {
      const found = segment(cursor)
      const tag = found === undefined ? undefined : metadataTag(found)
      if (found === undefined || tag === undefined) return
      const from = cursor.at + 2 + found.length
      if (cursor.text[from - 1] !== ':') return
      if (change[tag.name] !== undefined) throw invalidSyntax(`${tag.name} is given twice`)
      // A time carries colons of its own: 2026-01-31T10:00:00Z.
      const end = tag.type === 'time' ? endOfTime(cursor.text, from) : endOfValue(cursor.text, from)
      change[tag.name] = parseTagValue(tag, cursor.text.slice(from, end))
      cursor.at = end
    }
  },
  write: (params) => formatMetadata(params.metadata),
}

function endOfTime(text: string, from: number): number {
  const z = text.indexOf('Z', from)
  return z === -1 || z - from > 32 ? endOfValue(text, from) : z + 1
}

/** A UTC time as a parameter value; kept as milliseconds. */
export function timeParam<const N extends string>(name: N, type: ValueType<number>): Part<{ [K in N]?: number }> {
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || found.toLowerCase() !== name.toLowerCase()) return
      const from = cursor.at + 2 + found.length
      if (cursor.text[from - 1] !== ':') return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
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

const keyPrefix = /^(?:cached|public|private|privatekey|local|@[^:\s]*)$/i

/** End of the key that starts at `from`: prefixes, then a name up to the next colon, blank or end. */
function endOfKey(text: string, from: number): number {
  let start = from
  for (;;) {
    const end = endOfValue(text, start)
    if (text[end] !== ':' || !keyPrefix.test(text.slice(start, end))) return end
    start = end + 1
  }
}

function checkOwner(key: AtKey, rule: 'required' | 'optional'): AtKey {
  if (key.owner === undefined && rule === 'required' && key.scope !== 'privatekey') {
    throw invalidSyntax(`key ${quote(key.text)} needs its owner, as in ${key.text.slice(0, 32)}@alice`)
  }
  return key
}

/** A key with its prefixes: `:@bob:phone.wavi@alice`. A word that is neither a parameter nor a prefix is named. */
export function key(rule: 'required' | 'optional' = 'required'): Part<{ key: AtKey }> {
  return {
    read(cursor, out) {
      const { text, at } = cursor
      if (text[at] !== ':')
        throw invalidSyntax(at < text.length ? `unexpected ${quote(text.slice(at))}` : 'key is missing')
      const end = endOfKey(text, at + 1)
      const word = text.slice(at + 1, end)
      if (word.length === 0) throw invalidSyntax('key is missing')
      if (text[end] === ':' && !word.includes('@')) throw invalidSyntax(`unknown parameter ${quote(word)}`)
      out['key'] = checkOwner(parseAtKey(word), rule)
      cursor.at = end
    },
    write: (params) => `:${params.key.text}`,
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
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || found.toLowerCase() !== name.toLowerCase()) return
      const from = cursor.at + 2 + found.length
      const value = cursor.text[from - 1] === ':' ? cursor.text.slice(from) : ''
      if (value.length === 0) throw invalidSyntax(`${name} is empty`)
      out[name] = value
      cursor.at = cursor.text.length
    },
    write: (params) => (params[name] === undefined ? '' : `:${name}:${params[name]}`),
  }
}

/** An optional `:@atSign`; its `@` is needed, so that it cannot be taken for another part. */
export function optionalAtSign<const N extends string>(name: N): Part<{ [K in N]?: AtSign }> {
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || !found.startsWith('@')) return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
      out[name] = parseAtSign(found)
      cursor.at += 1 + found.length
    },
    write: (params) => (params[name] === undefined ? '' : `:${params[name]}`),
  }
}

/** `:@atSign`, with or without its `@`. */
export function atSign<const N extends string>(name: N): Part<{ [K in N]: AtSign }> {
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || found.length === 0) throw invalidSyntax(`${name} is missing, as in :@alice`)
      if (/\s/.test(found) || found.lastIndexOf('@') > 0) throw invalidSyntax(`${quote(found)} is not an atSign`)
      out[name] = parseAtSign(found)
      cursor.at += 1 + found.length
    },
    write: (params) => `:${params[name]}`,
  }
}
