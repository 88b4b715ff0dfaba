// Placeholders of transcripts. README.md beside this file lists them.

/** What a slot of an expectation may hold; none matches across lines. */
export const slotTypes = {
  commit: /\d+/,
  number: /-?\d+/,
  uuid: /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/,
  time: /\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}Z/,
  utc6: /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z/,
  utc3: /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z/,
  base64: /[A-Za-z0-9+/]+={0,2}/,
  word: /[^\s":,]+/,
  text: /[^\n]*/,
} as const

export type SlotType = keyof typeof slotTypes

/** Characters that an editor would lose. */
const characters: Readonly<Record<string, string>> = {
  LF: '\n',
  CR: '\r',
  TAB: '\t',
  NUL: '\u0000',
  BLANK: ' ',
}

/** One piece of a text with placeholders. */
export type Piece =
  | { readonly kind: 'literal'; readonly text: string }
  /** A byte that need not be UTF-8. */
  | { readonly kind: 'byte'; readonly byte: number }
  /** Matches a type; remembered under a name when it has one. */
  | { readonly kind: 'slot'; readonly type: SlotType; readonly name: string | undefined }
  /** What was remembered under a name, or what the world calls so; numbers may be added to. */
  | { readonly kind: 'value'; readonly name: string; readonly plus: number }
  /** Made of something remembered, such as a signature of a challenge. */
  | { readonly kind: 'made'; readonly how: string; readonly of: string }

const placeholder =
  /\{(?:(?<type>[A-Za-z][A-Za-z0-9]*)(?::(?<name>[A-Za-z]\w*))?(?<plus>[+-]\d+)?|0x(?<hex>[0-9A-F]{2})|(?<char>[^{}\s])\*(?<count>\d{1,8}))\}/gu

const isSlotType = (word: string): word is SlotType => Object.hasOwn(slotTypes, word)

function pieceOf(groups: Record<string, string | undefined>): Piece {
  const { type = '', name, plus, hex, char, count } = groups
  if (hex !== undefined) return { kind: 'byte', byte: Number.parseInt(hex, 16) }
  if (char !== undefined) return { kind: 'literal', text: char.repeat(Number(count)) }
  if (Object.hasOwn(characters, type)) return { kind: 'literal', text: characters[type] ?? '' }
  if (isSlotType(type) && plus === undefined) return { kind: 'slot', type, name }
  if (name !== undefined) return { kind: 'made', how: type, of: name }
  return { kind: 'value', name: type, plus: Number(plus ?? 0) }
}

/** Takes a text with placeholders apart. Braces that enclose no placeholder, as in JSON, stand for themselves. */
export function readTemplate(text: string): Piece[] {
  const pieces: Piece[] = []
  let at = 0
  for (const match of text.matchAll(placeholder)) {
    if (match.index > at) pieces.push({ kind: 'literal', text: text.slice(at, match.index) })
    pieces.push(pieceOf(match.groups ?? {}))
    at = match.index + match[0].length
  }
  if (at < text.length) pieces.push({ kind: 'literal', text: text.slice(at) })
  return pieces
}

/** What a scene has remembered, and what its world knows. */
export interface Memory {
  readonly remembered: Map<string, string>
  /** A value of the world by its name, such as `ns`; undefined for an unknown one. */
  value(name: string, plus: number): string | undefined
  /** @throws Error when the world cannot make such a thing */
  make(how: string, of: string): string
}

function recall(name: string, plus: number, memory: Memory): string {
  const known = memory.remembered.get(name)
  if (known === undefined) {
    const own = memory.value(name, plus)
    if (own === undefined) throw new Error(`nothing is remembered as {${name}}`)
    return own
  }
  return plus === 0 ? known : String(Number(known) + plus)
}

/** Bytes to be sent. @throws Error for a slot, which only an expectation may have */
export const fillBytes = (pieces: readonly Piece[], memory: Memory): Buffer =>
  Buffer.concat(
    pieces.map((piece) => (piece.kind === 'byte' ? Buffer.of(piece.byte) : Buffer.from(fill([piece], memory)))),
  )

/** A text to be sent. @throws Error for a slot, which only an expectation may have, and for a byte */
export function fill(pieces: readonly Piece[], memory: Memory): string {
  return pieces
    .map((piece) => {
      if (piece.kind === 'literal') return piece.text
      if (piece.kind === 'value') return recall(piece.name, piece.plus, memory)
      if (piece.kind === 'slot') throw new Error(`{${piece.type}} cannot be sent`)
      if (piece.kind === 'byte') throw new Error('a byte can only be sent')
      return memory.make(piece.how, recall(piece.of, 0, memory))
    })
    .join('')
}

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')

/** Whether a text is the expected one; what its named slots hold is then remembered. */
export function matches(pieces: readonly Piece[], text: string, memory: Memory): boolean {
  const names: (string | undefined)[] = []
  const source = pieces
    .map((piece) => {
      // Remembered a moment ago, by an earlier slot of the same line.
      const group = piece.kind === 'value' && piece.plus === 0 ? names.lastIndexOf(piece.name) : -1
      if (group !== -1) return `\\${group + 1}`
      if (piece.kind !== 'slot') return escaped(fill([piece], memory))
      names.push(piece.name)
      return `(${slotTypes[piece.type].source})`
    })
    .join('')
  const match = new RegExp(`^${source}$`, 'u').exec(text)
  if (match === null) return false
  for (const [index, name] of names.entries()) {
    if (name !== undefined) memory.remembered.set(name, match[index + 1] ?? '')
  }
  return true
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

const mark = { open: '\ue000', close: '\ue001' } as const
const marked = new RegExp(`${mark.open}(\\d+)${mark.close}`, 'gu')

/** Where the JSON of a text begins: at the first bracket, or the first brace that is no placeholder. */
function splitJson(pieces: readonly Piece[]): { front: Piece[]; json: Piece[] } {
  for (const [index, piece] of pieces.entries()) {
    const start = piece.kind === 'literal' ? piece.text.search(/[[{]/) : -1
    if (piece.kind !== 'literal' || start === -1) continue
    const cut = (from: number, to?: number): Piece => ({ kind: 'literal', text: piece.text.slice(from, to) })
    return { front: [...pieces.slice(0, index), cut(0, start)], json: [cut(start), ...pieces.slice(index + 1)] }
  }
  throw new Error('there is no JSON in the expectation')
}

/** Expected JSON whose placeholders have become marked texts. */
function markedJson(pieces: readonly Piece[]): Json {
  let text = ''
  let quoted = false
  for (const [index, piece] of pieces.entries()) {
    if (piece.kind === 'literal') {
      text += piece.text
      for (const [, quote] of piece.text.matchAll(/\\.|(")/g)) if (quote !== undefined) quoted = !quoted
    } else text += quoted ? `${mark.open}${index}${mark.close}` : `"${mark.open}${index}${mark.close}"`
  }
  return JSON.parse(text) as Json
}

const isObject = (value: Json | undefined): value is { [name: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A marked text is taken apart again, so that its slots match. */
function unmark(text: string, pieces: readonly Piece[]): Piece[] {
  return text.split(marked).map((part, index): Piece => {
    const piece = index % 2 === 1 ? pieces[Number(part)] : undefined
    return piece ?? { kind: 'literal', text: part }
  })
}

/**
 * Whether a text ends in JSON with the expected members, in any order; the text in front of the JSON is compared as it
 * stands.
 * @param partly members that the expectation does not name may be there
 */
export function matchesJson(pieces: readonly Piece[], text: string, memory: Memory, partly: boolean): boolean {
  const { front, json } = splitJson(pieces)
  const start = text.search(/[[{]/)
  if (start === -1 || !matches(front, text.slice(0, start), memory)) return false
  let actual: Json
  try {
    actual = JSON.parse(text.slice(start)) as Json
  } catch {
    return false
  }
  const same = (want: Json, got: Json | undefined): boolean => {
    if (typeof want === 'string' && want.includes(mark.open)) {
      return got !== undefined && typeof got !== 'object' && matches(unmark(want, json), String(got), memory)
    }
    if (Array.isArray(want)) {
      return (
        Array.isArray(got) && got.length === want.length && want.every((element, index) => same(element, got[index]))
      )
    }
    if (!isObject(want)) return want === got
    if (!isObject(got) || (!partly && Object.keys(got).length !== Object.keys(want).length)) return false
    return Object.entries(want).every(([name, member]) => same(member, got[name]))
  }
  return same(markedJson(json), actual)
}
