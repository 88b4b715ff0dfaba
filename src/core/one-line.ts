/** Characters at which some released client ends a line, or a text (page 03, section 4; page 05, 2.2): no value may hold them. */
export const lineBreak = /[\0\r\n\u0085\u2028\u2029]/

/** Those among them that JSON leaves as they are. */
const unescaped = /[\u0085\u2028\u2029]/
const allUnescaped = new RegExp(unescaped, 'g')

const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`

/** A value as JSON that no released client can take for several lines. */
export function jsonLine(value: unknown): string {
  const text = JSON.stringify(value)
  // To replace nothing copies the text.
  return unescaped.test(text) ? text.replace(allUnescaped, escaped) : text
}
