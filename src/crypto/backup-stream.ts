import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { type ByteReader, createByteReader } from '../core/byte-reader.ts'
import { BackupError, type BackupLock } from './backup-lock.ts'

// A backup as bytes:
//
//   atedge backup <version> <CRC-32 of version and what follows, hex> <JSON of BackupHeader> LF
//   chunks of 65,536 bytes, the last one shorter, each AES-256-GCM with its tag of 16 bytes behind it
//
// The key of the chunks comes from the backup's own random key and the hash of the first line, so that a line from another
// backup fits none of them. Their nonce is their number (11 bytes) and 1 for the last one (1 byte), so that none can be left
// out, moved, repeated or be the last by being cut off there.

/** Version of this format. */
export const backupVersion = 1

/** What everybody may read of a backup. */
export interface BackupHeader {
  readonly atSign: AtSign
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly lock: BackupLock
}

/** First bytes of every backup. */
export const backupMagic = 'atedge backup '
/** Longest first line: a lock to an RSA key of 8192 bits has 1,368 characters. */
const longestLine = 8_192
const chunkBytes = 65_536
const tagBytes = 16
const cipherName = 'aes-256-gcm'

/** A new key for one backup. */
export const newBackupKey = (): Buffer => randomBytes(32)

const payloadKey = (key: Buffer, line: Buffer): Buffer => {
  const salt = createHash('sha256').update(line).digest()
  return Buffer.from(hkdfSync('sha256', key, salt, 'atedge backup payload', 32))
}

function nonceOf(number: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(number, 5, 6)
  nonce[11] = last ? 1 : 0
  return nonce
}

const formatLine = (header: BackupHeader): Buffer => {
  const json = JSON.stringify(header)
  const sum = crc32(`${backupVersion} ${json}`).toString(16).padStart(8, '0')
  return Buffer.from(`${backupMagic}${backupVersion} ${sum} ${json}\n`)
}

/** Pieces of one size, and whether each is the last. There is always one. */
async function* piecesOf(reader: ByteReader, size: number): AsyncGenerator<{ piece: Buffer; last: boolean }> {
  for (let last = false; !last; ) {
    const piece = await reader.take(size)
    last = await reader.isAtEnd()
    yield { piece, last }
  }
}

/**
 * Encrypts a stream.
 * @param key of this backup alone: `newBackupKey`, locked in the header
 */
export async function* sealBackup(
  header: BackupHeader,
  key: Buffer,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const line = formatLine(header)
  const secret = payloadKey(key, line)
  yield line
  let number = 0
  for await (const { piece, last } of piecesOf(createByteReader(content), chunkBytes)) {
    const cipher = createCipheriv(cipherName, secret, nonceOf(number, last))
    yield Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()])
    number += 1
  }
}

const damaged = (detail: string): BackupError => new BackupError('damaged', `the backup is ${detail}`)
const altered = (): BackupError => damaged('damaged: its first line is not as it was written')

function isLock(value: unknown): value is BackupLock {
  if (typeof value !== 'object' || value === null) return false
  const lock = new Map(Object.entries(value))
  const isText = (name: string): boolean => typeof lock.get(name) === 'string'
  const isNumber = (name: string): boolean => Number.isInteger(lock.get(name))
  if (lock.get('kind') === 'atsign') return ['atSign', 'fingerprint', 'key'].every(isText)
  return lock.get('kind') === 'passphrase' && ['n', 'r', 'p'].every(isNumber) && ['salt', 'key'].every(isText)
}

function parseHeader(json: string): BackupHeader {
  try {
    const { atSign, time, lock } = JSON.parse(json) as Partial<Record<keyof BackupHeader, unknown>>
    if (typeof atSign === 'string' && Number.isSafeInteger(time) && isLock(lock)) {
      return { atSign: parseAtSign(atSign), time: Number(time), lock }
    }
  } catch {}
  throw altered()
}

/** @throws BackupError */
function readLine(line: Buffer): BackupHeader {
  const text = line.toString('utf8')
  if (!text.startsWith(backupMagic)) throw new BackupError('foreign', 'it is not a backup made by atedge')
  const match = /^(\d{1,9}) ([0-9a-f]{8}) (\{.*\})\n$/.exec(text.slice(backupMagic.length))
  if (match === null) throw line.length < longestLine && !text.endsWith('\n') ? damaged('cut off') : altered()
  const [, version = '', sum = '', json = ''] = match
  if (crc32(`${version} ${json}`) !== Number.parseInt(sum, 16)) throw altered()
  if (Number(version) > backupVersion) {
    const versions = `version ${version}, this program reads up to ${backupVersion}`
    throw new BackupError('newer', `the backup was made by a newer version of atedge (${versions})`)
  }
  return parseHeader(json)
}

/** A backup whose first line was read. */
export interface OpenedBackup {
  readonly header: BackupHeader
  /**
   * What is inside. Every piece is what was sealed, in order; nothing may be done with it for good before the last one.
   * @throws BackupError `damaged` at the first byte that is not as it was written, or when the end is missing
   */
  content(key: Buffer): AsyncGenerator<Uint8Array>
}

/**
 * Reads the first line of a backup.
 * @throws BackupError `foreign`, `newer` or `damaged`
 */
export async function openBackup(reader: ByteReader): Promise<OpenedBackup> {
  const line = await reader.takeLine(longestLine)
  const header = readLine(line)
  async function* content(key: Buffer): AsyncGenerator<Uint8Array> {
    const secret = payloadKey(key, line)
    let number = 0
    for await (const { piece, last } of piecesOf(reader, chunkBytes + tagBytes)) {
      yield open(secret, nonceOf(number, last), piece, last)
      number += 1
    }
  }
  return { header, content }
}

function open(secret: Buffer, nonce: Buffer, piece: Buffer, last: boolean): Buffer {
  const body = piece.subarray(0, -tagBytes)
  const tag = piece.subarray(-tagBytes)
  try {
    const decipher = createDecipheriv(cipherName, secret, nonce, { authTagLength: tagBytes })
    decipher.setAuthTag(tag)
    return Buffer.concat([decipher.update(body), decipher.final()])
  } catch {
    throw damaged(last ? 'cut off or damaged at its end' : 'damaged: a part of it is not as it was written')
  }
}
