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

/** The start of a text, for a sentence that names it. */
export const quote = (text: string): string => `"${text.slice(0, 32)}"`

/** The segment between the colon at the cursor and the next colon or blank, or undefined when no colon stands there. */
export function segment({ text, at }: Cursor): string | undefined {
  return text[at] === ':' ? text.slice(at + 1, endOfValue(text, at + 1)) : undefined
}

/** Where the value that starts at `from` ends: at the next colon or blank. */
export const endOfValue = (text: string, from: number): number => {
  let end = from
  while (end < text.length && text[end] !== ':' && text[end] !== ' ') end++
  return end
}

/** The same for a time, which carries colons of its own: 2026-01-31T10:00:00Z. */
export function endOfTime(text: string, from: number): number {
  const z = text.indexOf('Z', from)
  return z === -1 || z - from > 32 ? endOfValue(text, from) : z + 1
}
