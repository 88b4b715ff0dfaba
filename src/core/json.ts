/**
 * Whether arrays and objects in a JSON text stand more than `levels` deep inside one another: a document like that can be
 * read and never written again. The text need not be JSON.
 */
export function isDeepJson(text: string, levels: number): boolean {
  let depth = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '\\') at++
    else if (char === '"') quoted = !quoted
    else if (quoted) continue
    else if (char === '[' || char === '{') depth++
    else if (char === ']' || char === '}') depth--
    if (depth > levels) return true
  }
  return false
}
