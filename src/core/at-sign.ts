import { AtError } from './errors.ts'
import { limits } from './limits.ts'

/** A normalised atSign: lower case, one leading `@`, no dots, no reserved characters. */
export type AtSign = `@${string}`

const usual = /^@[a-z0-9_-]+$/
const reserved = /[!*'`();:&=+$,/?#[\]{}]/
const whiteSpace = /[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/
const control = /[\u0000-\u001f\u007f-\u009f\u2400-\u241f\u2421\u2424\u2425]/

/** Dots do not count; beyond this many characters nobody meant an atSign. */
const longestSpelling = 4 * limits.atSignLength
const tooLong = `Cannot be longer than ${limits.atSignLength} characters`

const refuse = (reason: string): AtError => new AtError('AT0011', `invalid @sign: ${reason}`, { closes: false })

/**
 * Normalises an atSign as every SDK does (page 01, 8.3): adds a missing `@`, folds case, drops dots.
 * Emoji and other scripts are kept as they are, without Unicode normalisation.
 * @throws AtError AT0011 that names the rule the text breaks
 */
export function parseAtSign(text: string): AtSign {
  if (usual.test(text) && text.length <= limits.atSignLength) return text as AtSign
  if (text.length > longestSpelling) throw refuse(tooLong)
  const folded = text.toLowerCase()
  const name = (folded.startsWith('@') ? folded.slice(1) : folded).replaceAll('.', '')
  if (name.includes('@')) throw refuse('Cannot Contain more than one @ character')
  if (name.length === 0) throw refuse('must include one @ character and at least one character on the right')
  if (reserved.test(name)) throw refuse("Cannot contain !*'`();:&=+$,/?#[]{} characters")
  if (whiteSpace.test(name)) throw refuse('Cannot Contain whitespace characters')
  if (control.test(name)) throw refuse('must not include control characters')
  if (!name.isWellFormed()) throw refuse('must be well-formed UTF-8')
  // One emoji counts once, however many UTF-16 units it takes (page 03, 1.1).
  if (name.length >= limits.atSignLength && [...name].length >= limits.atSignLength) throw refuse(tooLong)
  return `@${name}`
}

/** The atSign without its `@`: how an atDirectory and `shared_key.<name>` spell it. */
export const bareName = (atSign: AtSign): string => atSign.slice(1)
