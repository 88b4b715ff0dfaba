import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import { fromBase64 } from './encoding.ts'

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const boundPrefix = 'pol1.'
/** An atSign of 55 emoji makes a token of about 380 characters. */
const longestToken = 1_024

/**
 * The answer to a CRAM challenge (page 02, section 3).
 * @param secret taken as text, although it usually looks like hex
 * @param challenge everything behind `data:` in the reply to `from`
 * @returns lower-case hex SHA-512, 128 characters
 */
export const cramDigest = (secret: string, challenge: string): string =>
  createHash('sha512').update(secret, 'utf8').update(challenge, 'utf8').digest('hex')

// UTF-16 keeps unequal texts unequal; UTF-8 folds every lone surrogate into one character.
const blind = (text: string): Buffer => createHash('sha256').update(text, 'utf16le').digest()

/** Compares two secrets in a time that tells neither where they differ nor whether their lengths do. */
export const equalText = (a: string, b: string): boolean => timingSafeEqual(blind(a), blind(b))

/** A session id: `_` and a UUIDv4, part of every challenge. */
export const newSessionId = (): string => `_${randomUUID()}`

/**
 * The challenge for `cram` and `pkam`: `_<uuid>@alice:<uuid4>`. Newer Dart clients check this exact form.
 * @param sessionId as made by `newSessionId`
 */
export const ownerChallenge = (sessionId: string, self: AtSign): string => `${sessionId}${self}:${randomUUID()}`

/**
 * The challenge for `pol`, bound to the atSign that issues it (page 08, 11.1), so that a proof obtained by one
 * atServer is useless at another.
 * @returns `name` of the record that the peer has to publish, `_<uuid>@bob`, and the `challenge` text it has to sign
 */
export function peerChallenge(sessionId: string, peer: AtSign, self: AtSign): { name: string; challenge: string } {
  const token = Buffer.from(JSON.stringify({ v: self, n: randomUUID() })).toString('base64')
  const urlSafe = token.replaceAll('+', '-').replaceAll('/', '_')
  return { name: `${sessionId}${peer}`, challenge: `${boundPrefix}${urlSafe}` }
}

const handshakeFailure = (detail: string): AtError => new AtError('AT0008', detail)

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function issuerOf(token: string): AtSign {
  const bytes = token.length > longestToken ? undefined : fromBase64(token.slice(boundPrefix.length))
  if (bytes === undefined) throw handshakeFailure('the pol1 challenge is not base64url text')
  const value = readJson(bytes.toString('utf8'))
  const issuer = typeof value === 'object' && value !== null && 'v' in value ? value.v : undefined
  if (typeof issuer !== 'string' || issuer === '') throw handshakeFailure('the pol1 challenge names no issuer')
  try {
    return parseAtSign(issuer)
  } catch (cause) {
    throw new AtError('AT0008', 'the pol1 challenge names an issuer that is not an atSign', { cause })
  }
}

/**
 * Judges the reply to our `from`, before anything is signed or stored (page 02, section 5; page 08, 11.1): a hostile
 * peer could have us overwrite a record of ours, or sign a challenge that another atServer gave to it.
 * @param text the reply without `data:`, expected as `proof:_<uuid>@own:<challenge>`
 * @param dialled the atSign whose atServer was dialled; a bound challenge must name it
 * @returns `name` under which the signature is to be published, and the `challenge` to sign as it stands
 * @throws AtError AT0008 that names the part that is wrong
 */
export function readProof(text: string, dialled: AtSign, own: AtSign): { name: string; challenge: string } {
  const [word, name, challenge, ...rest] = text.split(':', 4)
  if (word !== 'proof' || name === undefined || challenge === undefined || rest.length > 0) {
    throw handshakeFailure('the reply to from is not proof:<record>:<challenge>')
  }
  if (!name.startsWith('_') || !name.endsWith(own) || !uuid.test(name.slice(1, -own.length))) {
    throw handshakeFailure(`the proof record is not named _<uuid>${own}`)
  }
  if (challenge.startsWith(boundPrefix)) {
    const issuer = issuerOf(challenge)
    if (issuer !== dialled) throw handshakeFailure(`the pol1 challenge was issued by ${issuer}, not by ${dialled}`)
  } else if (!uuid.test(challenge)) {
    throw handshakeFailure('the challenge is neither a pol1 token nor a UUID')
  }
  return { name, challenge }
}
