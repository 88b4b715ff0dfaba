/** Characters that a kept piece of text may hold on to besides its own. */
const sharedChars = 2_048

/**
 * A piece of a text for keeping. V8 lets a piece share the memory of the text it was cut from, so that thirty characters
 * may keep ten million; one that is small beside its text gets memory of its own.
 * @param wholeChars length of the text that it was cut from
 */
export function ownText(piece: string, wholeChars: number): string {
  if (wholeChars <= sharedChars || piece.length > wholeChars / 2) return piece
  // What is not well-formed came out of JSON, never from the bytes of a line, and shares nothing.
  return piece.isWellFormed() ? Buffer.from(piece).toString() : piece
}

/** The same for every text in the parameters of a command, which are plain data. */
export function ownTexts<T>(params: T, wholeChars: number): T
export function ownTexts(params: unknown, wholeChars: number): unknown {
  if (wholeChars <= sharedChars) return params
  if (typeof params === 'string') return ownText(params, wholeChars)
  if (Array.isArray(params)) return params.map((item) => ownTexts(item, wholeChars))
  if (typeof params !== 'object' || params === null) return params
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, ownTexts(value, wholeChars)]))
}
