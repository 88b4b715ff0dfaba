import { createPublicKey, type KeyObject } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { decryptText, encryptText, isAesKey, newAesKey } from './cipher.ts'
import { writeFileAtomically } from './private-file.ts'
import { rsaPrivateKey, rsaPublicKey } from './rsa-key.ts'
import { generateRsaPair } from './signing.ts'

/** What an owner's application holds: the content of a `.atKeys` file in clear (page 02, section 13). */
export interface AtKeys {
  readonly atSign: AtSign
  /** Base64 SPKI DER. */
  readonly pkamPublicKey: string
  /** Base64 PKCS#8 DER. */
  readonly pkamPrivateKey: string
  /** Base64 SPKI DER; the value of `public:publickey@alice`. */
  readonly encryptPublicKey: string
  /** Base64 PKCS#8 DER. */
  readonly encryptPrivateKey: string
  /** Base64 of 32 bytes; encrypts the owner's own records. */
  readonly selfEncryptionKey: string
  /** Base64 of 32 bytes; only with an enrollment. */
  readonly apkamSymmetricKey?: string
  /** Id of the enrollment that these keys belong to; absent for keys with full rights. */
  readonly enrollmentId?: string
}

/** Files with post-quantum keys reach 40 kB (page 08, section 14). */
const longestFile = 1_048_576
const enrollmentId = /^[^\s:]{1,128}$/

/** Cuts every key of a new atSign. */
export async function createAtKeys(atSign: AtSign): Promise<AtKeys> {
  const [pkam, encrypt] = await Promise.all([generateRsaPair(), generateRsaPair()])
  return {
    atSign,
    pkamPublicKey: pkam.publicKey,
    pkamPrivateKey: pkam.privateKey,
    encryptPublicKey: encrypt.publicKey,
    encryptPrivateKey: encrypt.privateKey,
    selfEncryptionKey: newAesKey(),
    apkamSymmetricKey: newAesKey(),
  }
}

/** `~/.atsign/keys/@alice_key.atKeys`, where every SDK looks first. */
export const defaultKeysPath = (home: string, atSign: AtSign): string =>
  join(home, '.atsign', 'keys', `${atSign}_key.atKeys`)

/**
 * The text of a `.atKeys` file that every SDK reads. The encryption inside it hides nothing, because its key stands
 * beside it: the text is as secret as the keys.
 */
export function formatKeysFile(keys: AtKeys): string {
  const hidden = (text: string): string => encryptText(text, keys.selfEncryptionKey)
  return JSON.stringify({
    aesPkamPublicKey: hidden(keys.pkamPublicKey),
    aesPkamPrivateKey: hidden(keys.pkamPrivateKey),
    aesEncryptPublicKey: hidden(keys.encryptPublicKey),
    aesEncryptPrivateKey: hidden(keys.encryptPrivateKey),
    selfEncryptionKey: keys.selfEncryptionKey,
    // Written by Dart and compared by some of its tools.
    [keys.atSign]: keys.selfEncryptionKey,
    ...(keys.apkamSymmetricKey === undefined ? {} : { apkamSymmetricKey: keys.apkamSymmetricKey }),
    ...(keys.enrollmentId === undefined ? {} : { enrollmentId: keys.enrollmentId }),
  })
}

/**
 * Reads the text of a `.atKeys` file. Members it does not know, typed keys of newer SDKs among them, are ignored.
 * @param atSign whose keys the file has to hold
 * @throws Error that names the field that is missing, malformed or another atSign's; never its content
 */
export function parseKeysFile(text: string, atSign: AtSign): AtKeys {
  if (Buffer.byteLength(text) > longestFile) throw tooLong()
  const fields = readObject(text)
  if (fields.has('iv')) throw new Error('the keys file is locked with a passphrase: export it without one')
  refuseOthers(fields, atSign)
  const selfEncryptionKey = aesKey(fields, 'selfEncryptionKey')
  const reveal = revealer(fields, selfEncryptionKey)
  const keys: AtKeys = {
    atSign,
    pkamPublicKey: reveal('aesPkamPublicKey', rsaPublicKey),
    pkamPrivateKey: reveal('aesPkamPrivateKey', rsaPrivateKey),
    encryptPublicKey: reveal('aesEncryptPublicKey', rsaPublicKey),
    encryptPrivateKey: reveal('aesEncryptPrivateKey', rsaPrivateKey),
    selfEncryptionKey,
    ...(fields.has('apkamSymmetricKey') ? { apkamSymmetricKey: aesKey(fields, 'apkamSymmetricKey') } : {}),
    ...(fields.has('enrollmentId') ? { enrollmentId: readEnrollmentId(fields) } : {}),
  }
  checkPair('aesPkamPrivateKey', keys.pkamPrivateKey, keys.pkamPublicKey)
  checkPair('aesEncryptPrivateKey', keys.encryptPrivateKey, keys.encryptPublicKey)
  return keys
}

/**
 * Writes a `.atKeys` file, whole or not at all, readable by its owner only (0600).
 * @param options `overwrite` replaces a file that is there already; by default it is refused
 * @throws Error that names the path
 */
export const writeKeysFile = (path: string, keys: AtKeys, options: { overwrite?: boolean } = {}): Promise<void> =>
  writeFileAtomically(path, formatKeysFile(keys), { overwrite: options.overwrite ?? false })

/**
 * Reads a `.atKeys` file; see `parseKeysFile`.
 * @throws Error that names the path and what is wrong
 */
export async function readKeysFile(path: string, atSign: AtSign): Promise<AtKeys> {
  try {
    return parseKeysFile(await readBounded(path), atSign)
  } catch (cause) {
    throw new Error(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

async function readBounded(path: string): Promise<string> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size > longestFile) throw tooLong()
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

type Fields = ReadonlyMap<string, unknown>

const tooLong = (): Error => new Error(`the keys file is longer than ${longestFile} bytes`)

function readObject(text: string): Fields {
  const value = readJson(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('the keys file is not one JSON object')
  }
  return new Map(Object.entries(value))
}

function readJson(text: string): unknown {
  try {
    // Editors on Windows put a byte order mark in front.
    return JSON.parse(text.replace(/^\ufeff/, ''))
  } catch {
    // The parser quotes what it read, which may be a key, so its message goes no further.
    throw new Error('the keys file is not JSON')
  }
}

/** Dart writes the atSign as the name of a member; newer files also carry a member `atsign`. */
function refuseOthers(fields: Fields, atSign: AtSign): void {
  const named = [...fields.keys()].filter((name) => name.startsWith('@'))
  const typed = fields.get('atsign')
  const all = typeof typed === 'string' ? [...named, typed] : named
  if (all.length === 0 || all.some((name) => sameAtSign(name, atSign))) return
  throw new Error(`the keys file belongs to ${all.join(', ')}, not to ${atSign}`)
}

function sameAtSign(text: string, atSign: AtSign): boolean {
  try {
    return parseAtSign(text) === atSign
  } catch {
    return false
  }
}

function text(fields: Fields, name: string): string {
  const value = fields.get(name)
  if (value === undefined) throw new Error(`the keys file has no ${name}`)
  if (typeof value !== 'string') throw new Error(`${name} in the keys file is not text`)
  return value
}

function aesKey(fields: Fields, name: string): string {
  const value = text(fields, name)
  if (!isAesKey(value)) throw new Error(`${name} in the keys file is not base64 of 32 bytes`)
  return value
}

function readEnrollmentId(fields: Fields): string {
  const value = text(fields, 'enrollmentId')
  if (!enrollmentId.test(value)) throw new Error('enrollmentId in the keys file is not an enrollment id')
  return value
}

type ParseKey = (text: string) => KeyObject | undefined

const revealer =
  (fields: Fields, selfEncryptionKey: string) =>
  (name: string, parse: ParseKey): string => {
    const hidden = text(fields, name)
    const shown = decryptField(name, hidden, selfEncryptionKey)
    if (parse(shown) === undefined) throw new Error(`${name} in the keys file does not hold an RSA key`)
    return shown
  }

function decryptField(name: string, hidden: string, selfEncryptionKey: string): string {
  try {
    return decryptText(hidden, selfEncryptionKey)
  } catch (cause) {
    throw new Error(`${name} in the keys file cannot be decrypted with its selfEncryptionKey`, { cause })
  }
}

function checkPair(name: string, privateKey: string, publicKey: string): void {
  const half = rsaPrivateKey(privateKey)
  const other = rsaPublicKey(publicKey)
  if (half === undefined || other === undefined || !createPublicKey(half).equals(other)) {
    throw new Error(`${name} in the keys file does not belong to the public key beside it`)
  }
}
