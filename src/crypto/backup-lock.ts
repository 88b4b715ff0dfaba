import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  scrypt,
} from 'node:crypto'
import type { AtSign } from '../core/at-sign.ts'
import { fromBase64 } from './encoding.ts'
import { rsaPrivateKey, rsaPublicKey } from './rsa-key.ts'

// How the key of one backup is locked: by a passphrase, or to the encryption key pair of an atSign. The key itself is
// random and new for each backup, so that what it encrypts needs no further randomness.

/** Locked by scrypt and AES-256-GCM. `n` is the binary logarithm of scrypt's N; salt and key are base64. */
export interface PassphraseLock {
  readonly kind: 'passphrase'
  readonly n: number
  readonly r: number
  readonly p: number
  readonly salt: string
  readonly key: string
}

/** Locked by RSA-OAEP with SHA-256 to the key pair of an atSign; `fingerprint` is the SHA-256 of its public key. */
export interface AtSignLock {
  readonly kind: 'atsign'
  readonly atSign: AtSign
  readonly fingerprint: string
  readonly key: string
}

export type BackupLock = PassphraseLock | AtSignLock

/** Why a backup cannot be read: not one, of a later version, altered or cut off, another passphrase, another key. */
export type BackupReason = 'foreign' | 'newer' | 'damaged' | 'passphrase' | 'key'

/** A backup that cannot be read. Nothing was done with what it holds. */
export class BackupError extends Error {
  readonly reason: BackupReason

  constructor(reason: BackupReason, message: string) {
    super(message)
    this.name = 'BackupError'
    this.reason = reason
  }
}

const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const saltBytes = 16

/**
 * As strong as the 128 MiB that OWASP names first, on a quarter of the memory: a board with 512 MiB has other things to do.
 * About a third of a second on a desktop, a few on a Raspberry Pi.
 */
const cost = { n: 15, r: 8, p: 3 }

/** What a file may ask of the machine that reads it: 256 MiB, and sixteen times the work of ours. */
const mostCost = { n: 18, r: 8, p: 16 }

const scryptKey = (passphrase: string, salt: Buffer, { n, r, p }: typeof cost): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    // Keyboards compose letters in different ways.
    const options = { N: 2 ** n, r, p, maxmem: 2 ** n * r * 128 + 16 * 1024 * 1024 }
    scrypt(passphrase.normalize('NFC'), salt, keyBytes, options, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })

/** Locks the key of a backup by a passphrase. */
export async function lockByPassphrase(key: Buffer, passphrase: string): Promise<PassphraseLock> {
  const salt = randomBytes(saltBytes)
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', await scryptKey(passphrase, salt, cost), nonce)
  const locked = Buffer.concat([nonce, cipher.update(key), cipher.final(), cipher.getAuthTag()])
  return { kind: 'passphrase', ...cost, salt: salt.toString('base64'), key: locked.toString('base64') }
}

const inBounds = (value: number, most: number): boolean => Number.isInteger(value) && value >= 1 && value <= most

/**
 * The key behind a passphrase.
 * @throws BackupError `passphrase` when it is another one, `damaged` when the lock asks for what no lock needs
 */
export async function unlockByPassphrase(lock: PassphraseLock, passphrase: string): Promise<Buffer> {
  const { n, r, p } = lock
  const salt = fromBase64(lock.salt)
  const locked = fromBase64(lock.key)
  const bounded = inBounds(n, mostCost.n) && inBounds(r, mostCost.r) && inBounds(p, mostCost.p)
  if (!bounded || salt === undefined || locked?.length !== nonceBytes + keyBytes + tagBytes) {
    throw new BackupError('damaged', 'the lock of the backup is malformed')
  }
  const decipher = createDecipheriv(
    'aes-256-gcm',
    await scryptKey(passphrase, salt, { n, r, p }),
    locked.subarray(0, nonceBytes),
  )
  decipher.setAuthTag(locked.subarray(-tagBytes))
  try {
    return Buffer.concat([decipher.update(locked.subarray(nonceBytes, -tagBytes)), decipher.final()])
  } catch {
    throw new BackupError('passphrase', 'this is not the passphrase of the backup')
  }
}

const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const

/** A short name for a public key, to compare by eye: SHA-256 of its DER, base64. */
export const fingerprintOf = (publicKey: string): string =>
  createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('base64')

/**
 * Locks the key of a backup to an atSign.
 * @param publicKey base64 SPKI DER, as `public:publickey` of that atSign holds it
 * @throws Error when it is no RSA key of 2048 bits or more
 */
export function lockToAtSign(key: Buffer, atSign: AtSign, publicKey: string): AtSignLock {
  const rsa = rsaPublicKey(publicKey)
  if (rsa === undefined || (rsa.asymmetricKeyDetails?.modulusLength ?? 0) < 2048) {
    throw new Error(`the public key of ${atSign} is not an RSA key of 2048 bits or more`)
  }
  const locked = publicEncrypt({ key: rsa, ...oaep }, key)
  return { kind: 'atsign', atSign, fingerprint: fingerprintOf(publicKey), key: locked.toString('base64') }
}

/**
 * The key behind an atSign's lock.
 * @param keys its encryption key pair, base64 DER
 * @throws BackupError `key` when it is locked to other keys
 */
export function unlockByKeys(
  lock: AtSignLock,
  keys: { readonly encryptPublicKey: string; readonly encryptPrivateKey: string },
): Buffer {
  const rsa = rsaPrivateKey(keys.encryptPrivateKey)
  const locked = fromBase64(lock.key)
  if (rsa !== undefined && locked !== undefined && fingerprintOf(keys.encryptPublicKey) === lock.fingerprint) {
    try {
      const key = privateDecrypt({ key: rsa, ...oaep }, locked)
      if (key.length === keyBytes) return key
    } catch {}
  }
  throw new BackupError('key', `the backup is locked to other keys of ${lock.atSign} than these`)
}
