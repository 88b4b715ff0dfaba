import { RE2JS } from 're2js'
import { invalidSyntax } from './errors.ts'
import { limits } from './limits.ts'

/** A compiled pattern of a client: an unanchored, case-sensitive search. */
export type Pattern = (text: string) => boolean

/** `{5}`, `{2,}` or `{2,5}` at the start of a text. */
const count = /^\{(\d{1,9})(?:,(\d{0,9}))?\}/

/**
 * How many steps a pattern has once its counted repetitions are written out: `[a-z]{1,1000}` thirty times over takes
 * half a second and 70 MB to compile, on a connection without login. Never less than it really has.
 */
function stepsOf(source: string): number {
  const groups: number[] = []
  let steps = 0
  let last = 0
  for (let at = 0; at < source.length; at++) {
    const sign = source[at]
    const repeated = sign === '{' ? count.exec(source.slice(at, at + 24)) : null
    if (repeated !== null) {
      const times = Math.max(Number(repeated[1]), Number(repeated[2] ?? 0), 1)
      steps += last * (times - 1)
      last *= times
      at += repeated[0].length - 1
    } else if (sign === '(') {
      groups.push(steps)
      steps = 0
      if (source.startsWith('?:', at + 1)) at += 2
    } else if (sign === ')') {
      last = steps + 1
      steps = (groups.pop() ?? 0) + last
    } else if (sign !== '*' && sign !== '+' && sign !== '?') {
      if (sign === '\\') at++
      else if (sign === '[') at = endOfClass(source, at)
      last = 1
      steps += 1
    }
  }
  return steps + groups.reduce((sum, before) => sum + before, 0)
}

/** Where the class that begins at `from` ends at the earliest. */
function endOfClass(source: string, from: number): number {
  for (let at = from + 1; at < source.length; at++) {
    if (source[at] === '\\') at++
    else if (source[at] === ']') return at
  }
  return source.length
}

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
  if (/[\p{Cc}\u2028\u2029]/u.test(source)) throw invalidSyntax('Invalid regex: it holds control characters')
  if (/^[\w@:-]+$/.test(source)) return (text) => text.includes(source)
  if (stepsOf(source) > limits.patternSteps) {
    const reason = `its repetitions come to more than ${limits.patternSteps} steps`
    throw invalidSyntax(`Invalid regex: ${source.slice(0, 64)} (${reason})`)
  }
  try {
    const compiled = RE2JS.compile(source)
    return (text) => compiled.matcher(text).find()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replaceAll(/\s+/g, ' ').slice(0, 80) : 'unsupported'
    throw invalidSyntax(`Invalid regex: ${source.slice(0, 64)} (${reason})`)
  }
}
