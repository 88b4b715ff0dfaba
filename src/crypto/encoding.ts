const base64 = /^[A-Za-z0-9+/]*={0,2}$/
const base64Url = /^[A-Za-z0-9_-]*={0,2}$/

/**
 * The bytes of base64 text in the standard or the URL-safe alphabet, or undefined when the text is neither.
 * Node alone would skip foreign characters and return what is left.
 * @param text padding may be absent, and is checked when present
 */
export function fromBase64(text: string): Buffer | undefined {
  const shaped = base64.test(text) || base64Url.test(text)
  if (!shaped || text.length % 4 === 1 || (text.endsWith('=') && text.length % 4 !== 0)) return undefined
  return Buffer.from(text, 'base64')
}
