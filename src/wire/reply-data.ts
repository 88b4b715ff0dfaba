import { AtError, catalogue, isErrorCode } from '../core/errors.ts'

const longest = 1_000
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g

const oneLine = (text: string): string => text.replace(controls, ' ').trim().slice(0, longest)

/** The peer's own words: without the table text or the `Exception:` that its server put in front (page 01, 5.2). */
function ownWords(code: keyof typeof catalogue, description: string): string {
  for (const front of [`${catalogue[code].text} : `, 'Exception: ']) {
    if (description.startsWith(front)) return description.slice(front.length)
  }
  return description
}

function jsonError(body: string): { code: string; text: string } | undefined {
  try {
    const parsed = JSON.parse(body) as { errorCode?: unknown; errorDescription?: unknown } | null
    if (typeof parsed?.errorCode !== 'string') return undefined
    return { code: parsed.errorCode, text: String(parsed.errorDescription ?? '') }
  } catch {
    return undefined
  }
}

/**
 * The error that an `error:` line carries, in any of its three shapes (page 01, 5.1). It never closes our own
 * connections; a code outside the catalogue becomes AT0011 with the whole text.
 */
export function errorOfLine(line: string): AtError {
  const body = line.slice('error:'.length).trim()
  const json = body.startsWith('{') ? jsonError(body) : undefined
  const plain = /^(AT\d{4})([-:])(.*)$/su.exec(body)
  const code = json?.code ?? plain?.[1] ?? ''
  if (!isErrorCode(code)) {
    const text = json === undefined ? body : `${json.code}-${json.text}`
    return new AtError('AT0011', oneLine(text) || 'error without a text', { closes: false })
  }
  const text = oneLine(json?.text ?? plain?.[3] ?? '')
  const shape = plain?.[2] === ':' ? 'colon' : 'plain'
  return new AtError(code, ownWords(code, text), { shape, closes: false })
}

/**
 * The text behind `data:` or `data: `.
 * @param line a reply line without prompt, as `Link.request` resolves with
 * @throws AtError that an `error:` line carries, AT0011 for anything else
 */
export function replyData(line: string): string {
  if (line.startsWith('data:')) return line.charAt(5) === ' ' ? line.slice(6) : line.slice(5)
  if (line.startsWith('error:')) throw errorOfLine(line)
  throw new AtError('AT0011', 'The reply is neither data nor an error', { closes: false })
}
