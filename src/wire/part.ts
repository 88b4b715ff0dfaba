/** A place in a command line, behind the verb's name. */
export interface Cursor {
  readonly text: string
  at: number
  /** The segment that was looked at last: one part after the other asks for it. */
  seen?: Segment
}

/** What stands between a colon and the next colon or blank. */
interface Segment {
  readonly text: string
  /** The same in lower case. */
  readonly word: string
  /** Where the colon in front of it stands, and where it ends. */
  readonly at: number
  readonly end: number
}

/**
 * One part of a command. `read` takes its text at the cursor and puts members into `out`;
 * `write` gives the text of those members back, so that `write(read(x))` is canonical.
 */
export interface Part<P> {
  read(cursor: Cursor, out: Record<string, unknown>): void
  write(params: P): string
}

/** The start of a text, for a sentence that names it. */
export const quote = (text: string): string => `"${text.slice(0, 32)}"`

/** The segment behind the colon at the cursor, or undefined when no colon stands there. */
export function segment(cursor: Cursor): Segment | undefined {
  const { text, at, seen } = cursor
  if (seen?.at === at) return seen
  if (text[at] !== ':') return undefined
  const end = endOfValue(text, at + 1)
  const found = text.slice(at + 1, end)
  cursor.seen = { text: found, word: found.toLowerCase(), at, end }
  return cursor.seen
}

/** Where the value that starts at `from` ends: at the next colon or blank. */
export const endOfValue = (text: string, from: number): number => {
  const colon = text.indexOf(':', from)
  const end = colon === -1 ? text.length : colon
  const blank = text.slice(from, end).indexOf(' ')
  return blank === -1 ? end : from + blank
}

/** The same for a time, which carries colons of its own: 2026-01-31T10:00:00Z. */
export function endOfTime(text: string, from: number): number {
  const z = text.indexOf('Z', from)
  return z === -1 || z - from > 32 ? endOfValue(text, from) : z + 1
}
