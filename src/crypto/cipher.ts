import { isUtf8 } from 'node:buffer'
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto'
import { fromBase64 } from './encoding.ts'
import { rsaPrivateKey, rsaPublicKey } from './rsa-key.ts'

// Client side only. The server stores ciphertext and may not import this file (design, section 5).

const algorithm = 'aes-256-ctr'
const blockBytes = 16
/** Base64 of an AES-256 key: what is wrapped is this text, not the bytes (page 05, 1.2). */
const keyText = /^[A-Za-z0-9+/]{43}=$/
const keyTextLength = 44
const zeroIv = Buffer.alloc(blockBytes)

/** A new AES-256 key: base64 of 32 random bytes, 44 characters. */
export const newAesKey = (): string => randomBytes(32).toString('base64')

/** True for the text of an AES-256 key: 44 characters of base64. */
export const isAesKey = (text: string): boolean => keyText.test(text)

/** IVs that are drawn at one time: the system takes about as long for one as for all of them. */
const ivsPerDraw = 256

/**
 * A source of `ivNonce`: base64 of 16 random bytes, 24 characters. One for each write, never two uses (page 05, 1.5), so
 * that what was handed out is wiped at once.
 */
export function createIvSource(): () => string {
  let drawn = Buffer.alloc(0)
  let used = 0
  return () => {
    if (used === drawn.length) {
      drawn = randomBytes(ivsPerDraw * blockBytes)
      used = 0
    }
    const iv = drawn.toString('base64', used, used + blockBytes)
    drawn.fill(0, used, used + blockBytes)
    used += blockBytes
    return iv
  }
}

/** UTF-8 with PKCS#7 padding. Counter mode needs none and so Node adds none, but every reader strips it. */
function padded(text: string): Buffer {
  const length = Buffer.byteLength(text)
  const fill = blockBytes - (length % blockBytes)
  const bytes = Buffer.allocUnsafe(length + fill)
  bytes.write(text)
  return bytes.fill(fill, length)
}

/**
 * Encrypts a value as every SDK does: UTF-8, PKCS#7 padding to 16 bytes, AES-256-CTR, base64 (page 05, 1.4).
 * @param aesKey base64 of 32 bytes
 * @param ivNonce base64 of 16 bytes; absent means sixteen zero bytes, for readers of the old form only
 * @throws Error that names the part that is malformed
 */
export function encryptText(plain: string, aesKey: string, ivNonce?: string): string {
  if (!plain.isWellFormed()) throw new Error('the text to encrypt holds half a surrogate pair')
  const cipher = createCipheriv(algorithm, readKey(aesKey), readIv(ivNonce))
  const encrypted = cipher.update(padded(plain)).toString('base64')
  // Counter mode leaves nothing to add; this frees the key's memory now and not at some collection.
  cipher.final()
  return encrypted
}

/**
 * Opens what `encryptText` or another SDK wrote. The cipher carries no authentication: a wrong key or IV shows as bad
 * padding or as bytes that are not UTF-8, and once in about 256 times as garbage.
 * @param encrypted base64
 * @param aesKey base64 of 32 bytes
 * @param ivNonce base64 of 16 bytes; absent means sixteen zero bytes
 * @throws Error that names the part that is malformed
 */
export function decryptText(encrypted: string, aesKey: string, ivNonce?: string): string {
  const bytes = fromBase64(encrypted)
  if (bytes === undefined) throw new Error('the encrypted text is not base64')
  if (bytes.length === 0 || bytes.length % blockBytes !== 0) {
    throw new Error(`the encrypted text is ${bytes.length} bytes long, not a multiple of ${blockBytes}`)
  }
  const decipher = createDecipheriv(algorithm, readKey(aesKey), readIv(ivNonce))
  const text = withoutPadding(Buffer.concat([decipher.update(bytes), decipher.final()]))
  if (!isUtf8(text)) throw new Error('the decrypted bytes are not UTF-8: the key or the IV is another one')
  return text.toString('utf8')
}

/**
 * Encrypts an AES key for the owner of `publicKey`: RSA PKCS#1 v1.5 of its base64 text (page 05, 1.2).
 * @param publicKey base64 SPKI DER
 * @returns base64, 344 characters for RSA-2048
 * @throws Error that names the part that is malformed
 */
export function wrapKey(publicKey: string, aesKey: string): string {
  const key = rsaPublicKey(publicKey)
  if (key === undefined) throw new Error('the public key is not base64 of the SPKI DER of an RSA key')
  readKey(aesKey)
  try {
    const wrapped = publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, Buffer.from(aesKey, 'latin1'))
    return wrapped.toString('base64')
  } catch (cause) {
    throw new Error('the public key cannot encrypt: it is too small or not a real one', { cause })
  }
}

/**
 * Opens a wrapped AES key.
 * @param privateKey base64 PKCS#8 DER
 * @param wrapped base64
 * @returns base64 of 32 bytes, 44 characters
 * @throws Error; one and the same for every way in which the content can be wrong
 */
export function unwrapKey(privateKey: string, wrapped: string): string {
  const key = rsaPrivateKey(privateKey)
  if (key === undefined) throw new Error('the private key is not base64 of the PKCS#8 DER of an RSA key')
  const bytes = fromBase64(wrapped)
  if (bytes === undefined) throw new Error('the wrapped key is not base64')
  const aesKey = stripWrapping(rawDecrypt(key, bytes))
  if (aesKey === undefined) throw new Error('the wrapped key was not made for this key pair')
  return aesKey
}

/** `pubKeyCS`: lower-case hex MD5 of the text of a public key (page 05, 1.6). An identifier, not a protection. */
export const keyFingerprint = (publicKey: string): string => createHash('md5').update(publicKey, 'utf8').digest('hex')

/** `pubKeyHash`: lower-case hex hash of the text of a public key (page 05, 1.6). */
export const keyHash = (publicKey: string, hash: 'sha256' | 'sha512'): string =>
  createHash(hash).update(publicKey, 'utf8').digest('hex')

function readKey(aesKey: string): Buffer {
  if (!isAesKey(aesKey)) throw new Error('the AES key is not base64 of 32 bytes')
  return Buffer.from(aesKey, 'base64')
}

function readIv(ivNonce: string | undefined): Buffer {
  if (ivNonce === undefined) return zeroIv
  const bytes = fromBase64(ivNonce)
  if (bytes?.length !== blockBytes) throw new Error('the ivNonce is not base64 of 16 bytes')
  return bytes
}

function withoutPadding(bytes: Buffer): Buffer {
  const fill = bytes.at(-1) ?? 0
  const text = bytes.subarray(0, bytes.length - fill)
  const whole = fill >= 1 && fill <= blockBytes && bytes.subarray(-fill).every((byte) => byte === fill)
  if (!whole) throw new Error('the decrypted padding is wrong: the key or the IV is another one')
  return text
}

function rawDecrypt(key: KeyObject, bytes: Buffer): Buffer {
  try {
    // Node refuses PKCS#1 v1.5 decryption where its OpenSSL lacks implicit rejection (page 05, 1.13).
    return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, bytes)
  } catch {
    return Buffer.alloc(0)
  }
}

/**
 * The 44 characters of an AES key at the end of a PKCS#1 v1.5 block: 00 02, non-zero bytes, 00, payload. The length
 * of the payload is known, so every byte has one place and all are looked at without a branch on any of them.
 */
function stripWrapping(block: Buffer): string | undefined {
  const border = block.length - keyTextLength - 1
  if (border < 10) return undefined
  let wrong = block.readUInt8(0) | (block.readUInt8(1) ^ 2) | block.readUInt8(border)
  for (let at = 2; at < border; at++) wrong |= (block.readUInt8(at) - 1) >>> 31
  const payload = block.toString('latin1', border + 1)
  const isKey = isAesKey(payload)
  return wrong === 0 && isKey ? payload : undefined
}
