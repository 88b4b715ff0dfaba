import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, crc32, deflateRaw, inflateRaw } from 'node:zlib'
import type { AtSign } from '../core/at-sign.ts'
import { createByteReader } from '../core/byte-reader.ts'
import { limits } from '../core/limits.ts'
import { StoreRefusal } from './refusal.ts'

// A snapshot as bytes, readable without LevelDB:
//
//   atedge snapshot <version> <CRC-32 of what follows, hex> <JSON of SnapshotHeader> LF
//   blocks: length (4 bytes, big-endian, not 0), then, deflated, rows: length of key, length of value (4 bytes each), key, value
//   0 (4 bytes), length of the end (4 bytes), JSON of SnapshotEnd, SHA-256 of every byte before it (32 bytes)
//
// Rows come in the order of their keys and are the bytes of the database, their own checksums included. Deflating halves what is
// written to the flash, on threads that have nothing else to do. A snapshot holds everything instead of what changed since another
// one: copies that share a base, or hard links to the tables of the database, would all be lost by the same flipped bit.

/** Version of this format. */
export const snapshotVersion = 1

/** What a snapshot says about itself. */
export interface SnapshotHeader {
  readonly atSign: AtSign
  /** Format of the store. */
  readonly format: number
  /** Milliseconds since the epoch by the device's clock. */
  readonly time: number
  /** Highest commit id issued by then, -1 for none. */
  readonly lastCommitId: number
}

/** What it held, known at its end. */
export interface SnapshotEnd {
  readonly rows: number
  /** Records of the owner among them; older snapshots do not say. */
  readonly records?: number
  /** Rows that were damaged in the store already; they are copied as they were. */
  readonly damaged: number
}

/** One row: full key, and the value as stored. */
export type SnapshotRow = readonly [key: string, value: Uint8Array]

/** First bytes of every snapshot. */
export const snapshotMagic = 'atedge snapshot '
const deflate = promisify<Buffer, { level: number }, Buffer>(deflateRaw)
const inflate = promisify<Buffer, { maxOutputLength: number }, Buffer>(inflateRaw)
const digestBytes = 32
const longestEnd = 256

const word = (number: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
}

const damagedSnapshot = (detail: string): StoreRefusal => new StoreRefusal('damaged', `the snapshot ${detail}`)
const altered = (): StoreRefusal => damagedSnapshot('is damaged: its checksum does not match')
const cut = (): StoreRefusal => damagedSnapshot('is cut off: its end is missing')

/** Turns blocks of rows into the bytes of a snapshot. */
export function createSnapshotEncoder(header: SnapshotHeader): {
  readonly head: Buffer
  block(rows: readonly SnapshotRow[]): Promise<Buffer>
  end(end: SnapshotEnd): Buffer
} {
  const hash = createHash('sha256')
  const hashed = (...parts: Uint8Array[]): Buffer => {
    const bytes = Buffer.concat(parts)
    hash.update(bytes)
    return bytes
  }
  const json = JSON.stringify(header)
  const sum = crc32(`${snapshotVersion} ${json}`).toString(16).padStart(8, '0')
  return {
    head: hashed(Buffer.from(`${snapshotMagic}${snapshotVersion} ${sum} ${json}\n`)),
    async block(rows) {
      const parts = rows.flatMap(([key, value]) => {
        const name = Buffer.from(key)
        return [word(name.length), word(value.length), name, value]
      })
      const block = await deflate(Buffer.concat(parts), { level: constants.Z_BEST_SPEED })
      return hashed(word(block.length), block)
    },
    end(end) {
      const text = Buffer.from(JSON.stringify(end))
      const tail = hashed(word(0), word(text.length), text)
      return Buffer.concat([tail, hash.digest()])
    },
  }
}

const isCount = (value: unknown, least = 0): value is number => Number.isSafeInteger(value) && Number(value) >= least

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return { ...value }
  } catch {}
  throw altered()
}

function readHeader(line: string): SnapshotHeader {
  const match = /^(\d{1,9}) ([0-9a-f]{8}) (\{.*\})$/.exec(line)
  if (match === null) throw altered()
  const [, version = '', sum = '', json = ''] = match
  if (crc32(`${version} ${json}`) !== Number.parseInt(sum, 16)) throw altered()
  if (Number(version) > snapshotVersion) {
    const versions = `version ${version}, this program reads up to ${snapshotVersion}`
    throw new StoreRefusal('newer', `the snapshot was written by a newer version of atedge (${versions})`)
  }
  const { atSign, format, time, lastCommitId } = parse(json)
  if (typeof atSign !== 'string' || !isCount(format, 1) || !isCount(time) || !isCount(lastCommitId, -1)) throw altered()
  return { atSign: atSign as AtSign, format, time, lastCommitId }
}

function readEnd(text: string): SnapshotEnd {
  const { rows, records, damaged } = parse(text)
  if (!isCount(rows) || !isCount(damaged) || (records !== undefined && !isCount(records))) throw altered()
  return { rows, damaged, ...(records === undefined ? {} : { records }) }
}

async function readRows(deflated: Buffer): Promise<SnapshotRow[]> {
  const block = await inflate(deflated, { maxOutputLength: limits.snapshotBlockBytes }).catch(() => {
    throw altered()
  })
  const rows: SnapshotRow[] = []
  for (let at = 0; at < block.length; ) {
    if (block.length - at < 8) throw altered()
    const keyEnd = at + 8 + block.readUInt32BE(at)
    const end = keyEnd + block.readUInt32BE(at + 4)
    if (end > block.length) throw altered()
    rows.push([block.toString('utf8', at + 8, keyEnd), block.subarray(keyEnd, end)])
    at = end
  }
  return rows
}

/** Takes bytes and keeps their sum. */
function createIntake(chunks: AsyncIterable<Uint8Array>) {
  const reader = createByteReader(chunks)
  const hash = createHash('sha256')

  async function take(bytes: number): Promise<Buffer> {
    const taken = await reader.take(bytes)
    if (taken.length < bytes) throw cut()
    hash.update(taken)
    return taken
  }

  return {
    take,
    takeNumber: async () => (await take(4)).readUInt32BE(0),
    async takeLine(longest: number): Promise<string> {
      const line = await reader.takeLine(longest)
      if (line.at(-1) !== 0x0a) throw line.length < longest ? cut() : altered()
      hash.update(line)
      return line.toString('utf8', 0, line.length - 1)
    },
    digest: () => hash.digest(),
    reader,
  }
}

/** A snapshot that is being read. */
export interface SnapshotReading {
  readonly header: SnapshotHeader
  /**
   * The rows, block by block. Nothing may be done with them for good before the last block has come.
   * @throws StoreRefusal `damaged` when one bit differs from what was written, or bytes are missing or too many
   */
  readonly blocks: AsyncGenerator<readonly SnapshotRow[]>
  /** What it held; undefined until the last block has come. */
  end(): SnapshotEnd | undefined
  /** Lets go of the stream, read to its end or not. */
  close(): Promise<void>
}

type Intake = ReturnType<typeof createIntake>

async function takeHeader(intake: Intake): Promise<SnapshotHeader> {
  const start = await intake.reader.peek(snapshotMagic.length)
  if (start.toString('latin1') !== snapshotMagic)
    throw new StoreRefusal('foreign', 'it is not a snapshot made by atedge')
  const line = await intake.takeLine(limits.snapshotHeaderBytes)
  return readHeader(line.slice(snapshotMagic.length))
}

async function takeEnd(intake: Intake, rows: number): Promise<SnapshotEnd> {
  const length = await intake.takeNumber()
  if (length > longestEnd) throw altered()
  const text = (await intake.take(length)).toString('utf8')
  const expected = intake.digest()
  const sum = await intake.reader.take(digestBytes)
  if (sum.length < digestBytes) throw cut()
  if (!expected.equals(sum)) throw altered()
  const end = readEnd(text)
  if (end.rows !== rows || !(await intake.reader.isAtEnd())) throw altered()
  return end
}

/**
 * Reads a snapshot, in bounded memory. Close it.
 * @param chunks its bytes, however they are cut
 * @throws StoreRefusal `foreign` when it is no snapshot, `newer` when a later version of atedge wrote it, `damaged`
 */
export async function readSnapshot(chunks: AsyncIterable<Uint8Array>): Promise<SnapshotReading> {
  const intake = createIntake(chunks)
  let end: SnapshotEnd | undefined

  async function* blocks(): AsyncGenerator<readonly SnapshotRow[]> {
    let rows = 0
    for (let length = await intake.takeNumber(); length !== 0; length = await intake.takeNumber()) {
      if (length > limits.snapshotBlockBytes) throw altered()
      const block = await readRows(await intake.take(length))
      rows += block.length
      yield block
    }
    end = await takeEnd(intake, rows)
  }

  try {
    return { header: await takeHeader(intake), blocks: blocks(), end: () => end, close: intake.reader.close }
  } catch (error) {
    await intake.reader.close()
    throw error
  }
}
