import { createPublicKey, generateKeyPair, type KeyObject, sign, verify } from 'node:crypto'
import { promisify } from 'node:util'
import { fromBase64 } from './encoding.ts'
import { rsaPrivateKey, rsaPublicKey } from './rsa-key.ts'

/** Algorithms that `pkam` may name (page 02, section 4). */
export type SigningAlgo = 'rsa2048' | 'ecc_secp256r1'

/** Hashes that `pkam` may name; RSA only. */
export type HashingAlgo = 'sha256' | 'sha512'

/** One `pkam` attempt. */
export interface PkamProof {
  readonly algo: SigningAlgo
  /** Ignored for `ecc_secp256r1`, which always signs SHA-256. */
  readonly hashing: HashingAlgo
  /** Base64 SPKI DER for RSA; hex of the uncompressed point, `04` X Y, for ECC. */
  readonly publicKey: string
  /** Base64 of the signature for RSA; base64 of the ASCII hex digits of r and s for ECC. */
  readonly signature: string
  /** Everything behind `data:` in the reply to `from`. */
  readonly challenge: string
}

const cutKeyPair = promisify(generateKeyPair)

const rsaBits = { least: 2_048, most: 8_192 }
const point = /^04[0-9a-f]{128}$/i
const rAndS = /^[0-9a-f]{128}$/i
/** SubjectPublicKeyInfo of a P-256 key up to the point itself. */
const p256Header = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')

/** A new RSA-2048 pair: base64 SPKI DER and base64 PKCS#8 DER, each one line. */
export async function generateRsaPair(): Promise<{ publicKey: string; privateKey: string }> {
  const { publicKey, privateKey } = await cutKeyPair('rsa', {
    modulusLength: 2_048,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  })
  return { publicKey: publicKey.toString('base64'), privateKey: privateKey.toString('base64') }
}

/**
 * Base64 RSASSA-PKCS1-v1_5 signature of the UTF-8 bytes of `text`: proofs for `pkam` and `pol`, `dataSignature` of
 * public values.
 * @param privateKey base64 PKCS#8 DER
 * @throws Error when the key is anything else
 */
export function signRsa(privateKey: string, text: string, hash: HashingAlgo = 'sha256'): string {
  const key = rsaPrivateKey(privateKey)
  if (key === undefined) throw new Error('the signing key is not base64 of the PKCS#8 DER of an RSA private key')
  return sign(hash, Buffer.from(text, 'utf8'), key).toString('base64')
}

/**
 * True when `signature` is that of `text` under `publicKey`. Whatever is malformed is false, never an exception.
 * @param publicKey base64 SPKI DER, any RSA size
 * @param signature base64 in the standard or the URL-safe alphabet
 */
export function verifyRsa(publicKey: string, text: string, signature: string, hash: HashingAlgo = 'sha256'): boolean {
  const key = rsaPublicKey(publicKey)
  const bytes = fromBase64(signature)
  if (key === undefined || bytes === undefined) return false
  return holds(() => verify(hash, Buffer.from(text, 'utf8'), key, bytes))
}

/** True when the proof of a `pkam` holds. Whatever is malformed is false, never an exception. */
export function verifyPkam({ algo, hashing, publicKey, signature, challenge }: PkamProof): boolean {
  if (algo === 'rsa2048') return verifyRsa(publicKey, challenge, signature, hashing)
  return verifyEcc(publicKey, challenge, signature)
}

/** True when `text` is a public key that `pkam` can use with `algo`; RSA from 2,048 to 8,192 bits. */
export function isPublicKey(algo: SigningAlgo, text: string): boolean {
  if (algo === 'ecc_secp256r1') return eccPublicKey(text) !== undefined
  const bits = rsaPublicKey(text)?.asymmetricKeyDetails?.modulusLength ?? 0
  return bits >= rsaBits.least && bits <= rsaBits.most
}

function verifyEcc(publicKey: string, text: string, signature: string): boolean {
  const key = eccPublicKey(publicKey)
  const digits = fromBase64(signature)?.toString('latin1')
  if (key === undefined || digits === undefined || !rAndS.test(digits)) return false
  const bytes = Buffer.from(digits, 'hex')
  return holds(() => verify('sha256', Buffer.from(text, 'utf8'), { key, dsaEncoding: 'ieee-p1363' }, bytes))
}

function eccPublicKey(text: string): KeyObject | undefined {
  if (!point.test(text)) return undefined
  const der = Buffer.concat([p256Header, Buffer.from(text, 'hex')])
  try {
    // OpenSSL refuses a point that is not on the curve.
    return createPublicKey({ key: der, format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}

function holds(judge: () => boolean): boolean {
  try {
    return judge()
  } catch {
    return false
  }
}
