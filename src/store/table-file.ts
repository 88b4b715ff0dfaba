import { crc32c, maskCrc, putRight, type Soundness } from './mend.ts'
import { unsnap } from './snappy.ts'
import { type ByteReader, readVarint } from './varint.ts'

// A table of LevelDB (doc/table_format.md of google/leveldb): blocks, each followed by its compression and a masked
// CRC-32C; a footer with the places of two of them. LevelDB does not look at the sums, and dies of a damaged key in an
// assertion: whatever is wrong has to be found before it opens the table.

const footerBytes = 48
const trailerBytes = 5
const magic = 0xdb47_7524_8b80_fb57n

interface Handle {
  readonly offset: number
  readonly size: number
}

interface Entry {
  readonly key: Buffer
  readonly handle: Handle
}

/** What a table is worth, and its bytes put right or without what cannot be. */
export interface TableCheck {
  readonly soundness: Soundness
  /** To be written in place of the file; undefined when it is sound, or beyond use. */
  readonly bytes?: Buffer
  /** Last keys (full) of the parts that are lost, one for each; one that says so when all of it is. */
  readonly lost: readonly string[]
}

function readHandle(reader: ByteReader): Handle | undefined {
  const [offset, size] = [readVarint(reader), readVarint(reader)]
  return offset === undefined || size === undefined ? undefined : { offset, size }
}

function checkBlock(bytes: Buffer, { offset, size }: Handle): Soundness {
  const end = offset + size
  if (end + trailerBytes > bytes.length - footerBytes) return 'damaged'
  return putRight(bytes.subarray(offset, end + 1), bytes, end + 1)
}

/** The entries of a block whose values are places of other blocks. */
function readEntries(bytes: Buffer, { offset, size }: Handle): Entry[] | undefined {
  const raw = bytes.subarray(offset, offset + size)
  const block = bytes[offset + size] === 1 ? unsnap(raw) : raw
  if (block === undefined || block.length < 4) return undefined
  const end = block.length - 4 - 4 * block.readUInt32LE(block.length - 4)
  const reader = { at: 0, bytes: block }
  const entries: Entry[] = []
  let key = Buffer.alloc(0)
  while (reader.at < end) {
    const [shared = 0, own = 0, length = 0] = [readVarint(reader), readVarint(reader), readVarint(reader)]
    key = Buffer.concat([key.subarray(0, shared), block.subarray(reader.at, reader.at + own)])
    const handle = readHandle({ at: reader.at + own, bytes: block })
    reader.at += own + length
    if (handle === undefined) return undefined
    entries.push({ key, handle })
  }
  return entries
}

interface Footer {
  readonly meta: Handle
  readonly index: Handle
}

function readFooter(footer: Buffer): Footer | undefined {
  const reader = { at: 0, bytes: footer }
  const [meta, index] = [readHandle(reader), readHandle(reader)]
  return meta === undefined || index === undefined ? undefined : { meta, index }
}

const leadsTo = (bytes: Buffer, footer: Footer | undefined): footer is Footer =>
  footer !== undefined && checkBlock(bytes, footer.meta) !== 'damaged' && checkBlock(bytes, footer.index) !== 'damaged'

/** The footer has no sum of its own: a flipped bit is the one without which it leads to two blocks that have. */
function mendFooter(bytes: Buffer): Footer | undefined {
  const footer = bytes.subarray(bytes.length - footerBytes)
  for (let bit = 0; bit < (footerBytes - 8) * 8; bit += 1) {
    const place = bit >> 3
    footer[place] = (footer[place] ?? 0) ^ (1 << (bit & 7))
    const found = readFooter(footer)
    if (leadsTo(bytes, found)) return found
    footer[place] = (footer[place] ?? 0) ^ (1 << (bit & 7))
  }
  return undefined
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  return Buffer.from([...bytes, rest])
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

const handleBytes = ({ offset, size }: Handle): Buffer => Buffer.concat([varint(offset), varint(size)])

function blockOf(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = []
  const restarts: number[] = []
  let at = 0
  for (const { key, handle } of entries) {
    const value = handleBytes(handle)
    const part = Buffer.concat([varint(0), varint(key.length), varint(value.length), key, value])
    restarts.push(at)
    at += part.length
    parts.push(part)
  }
  if (restarts.length === 0) restarts.push(0)
  return Buffer.concat([...parts, ...restarts.map(uint32), uint32(restarts.length)])
}

const withTrailer = (block: Buffer): Buffer => {
  const covered = Buffer.concat([block, Buffer.from([0])])
  return Buffer.concat([covered, uint32(maskCrc(crc32c(covered)))])
}

/** The same table with these of its blocks alone, and without a filter. Another size: LevelDB takes it after a repair. */
function rebuild(bytes: Buffer, entries: readonly Entry[]): Buffer {
  const end = entries.reduce((last, { handle }) => Math.max(last, handle.offset + handle.size + trailerBytes), 0)
  const [meta, index] = [blockOf([]), blockOf(entries)]
  const footer = Buffer.alloc(footerBytes)
  const metaHandle = { offset: end, size: meta.length }
  const indexHandle = { offset: end + meta.length + trailerBytes, size: index.length }
  Buffer.concat([handleBytes(metaHandle), handleBytes(indexHandle)]).copy(footer)
  footer.writeBigUInt64LE(magic, footerBytes - 8)
  return Buffer.concat([bytes.subarray(0, end), withTrailer(meta), withTrailer(index), footer])
}

/** Behind every key of an index stand eight bytes of LevelDB's own. */
const userKey = (key: Buffer): string => key.subarray(0, Math.max(key.length - 8, 0)).toString('utf8')

const hopeless: TableCheck = { soundness: 'damaged', lost: ['a whole table'] }

/** Checks every block of a table, and puts right what one flipped bit has done. @param bytes are changed by that */
export function checkTable(bytes: Buffer): TableCheck {
  if (bytes.length < footerBytes) return hopeless
  let mended = bytes.readBigUInt64LE(bytes.length - 8) !== magic
  const isGood = (handle: Handle): boolean => {
    const soundness = checkBlock(bytes, handle)
    mended ||= soundness === 'mended'
    return soundness !== 'damaged'
  }
  const asFound = readFooter(bytes.subarray(bytes.length - footerBytes))
  const isLed = asFound !== undefined && isGood(asFound.meta) && isGood(asFound.index)
  const footer = isLed ? asFound : mendFooter(bytes)
  if (footer === undefined) return hopeless
  mended ||= !isLed
  bytes.writeBigUInt64LE(magic, bytes.length - 8)
  const [index, meta] = [readEntries(bytes, footer.index), readEntries(bytes, footer.meta)]
  if (index === undefined || meta === undefined) return hopeless
  const good = index.filter(({ handle }) => isGood(handle))
  const hasFilters = meta.every(({ handle }) => isGood(handle))
  if (good.length === index.length && hasFilters) {
    return mended ? { soundness: 'mended', bytes, lost: [] } : { soundness: 'sound', lost: [] }
  }
  const lost = index.filter((entry) => !good.includes(entry)).map(({ key }) => userKey(key))
  // LevelDB dies of a table without a key when it repairs.
  return { soundness: 'damaged', ...(good.length > 0 && { bytes: rebuild(bytes, good) }), lost }
}
