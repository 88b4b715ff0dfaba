import { RE2JS } from 're2js'
import { invalidSyntax } from './errors.ts'
import { limits } from './limits.ts'

/** A compiled pattern of a client: an unanchored, case-sensitive search. */
export type Pattern = (text: string) => boolean

/**
 * Compiles a regex that a client sent. It runs in linear time whatever it says, because `scan` needs no login and
 * `(a+)+$` must not stop the server; look-around and back-references are refused.
 * @throws AtError AT0003 that names the pattern
 */
export function compilePattern(source: string): Pattern {
  if (source === '.*') return () => true
  if (source.length > limits.patternLength) {
    throw invalidSyntax(`Invalid regex: longer than ${limits.patternLength} characters`)
  }
  if (/^[\w@:-]+$/.test(source)) return (text) => text.includes(source)
  try {
    const compiled = RE2JS.compile(source)
    return (text) => compiled.matcher(text).find()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replaceAll(/\s+/g, ' ').slice(0, 80) : 'unsupported'
    throw invalidSyntax(`Invalid regex: ${source.slice(0, 64)} (${reason})`)
  }
}
