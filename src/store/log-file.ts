import { putRight, type Soundness } from './mend.ts'

// LevelDB's log format (doc/log_format.md of google/leveldb), which its MANIFEST has too: blocks of 32 KiB; fragments of a
// header (masked CRC-32C of type and data, length, type; little-endian) and data. LevelDB itself, opened without its
// paranoid checks, drops the rest of a block behind a flipped bit and says nothing.

const blockBytes = 32_768
const headerBytes = 7
const fragment = { full: 1, first: 2, middle: 3, last: 4 } as const

/** One batch, or one edit of a MANIFEST, as it lies in the file. */
export interface LogRecord {
  readonly data: Buffer
  /**
   * `sound`; `mended`: one bit was flipped and is put right here; `damaged`: what is left of it, in no state to be used.
   * LevelDB sees sound ones alone, and not even those that follow damage in the same block.
   */
  readonly state: Soundness
}

/** A fragment as far as it can be made out. */
interface Fragment {
  readonly type: number
  readonly data: Buffer
  readonly state: Soundness
  /** Where the next one begins. */
  readonly end: number
}

const isTorn = (bytes: Buffer, at: number): boolean => bytes.length - at < headerBytes

const types: ReadonlySet<number> = new Set(Object.values(fragment))

/** The fragment at an offset if it is as long as said, put right if need be; a length is only guessed at, never mended twice. */
function ofLength(bytes: Buffer, at: number, length: number, limit: number, guess: boolean): Fragment | undefined {
  const end = at + headerBytes + length
  if (end > limit) return undefined
  const covered = guess ? Buffer.from(bytes.subarray(at + 6, end)) : bytes.subarray(at + 6, end)
  const soundness = putRight(covered, guess ? Buffer.from(bytes.subarray(at, at + 4)) : bytes, guess ? 0 : at)
  const type = covered[0] ?? 0
  if (!types.has(type) || soundness === 'damaged' || (guess && soundness !== 'sound')) return undefined
  return { type, data: covered.subarray(1), state: guess ? 'mended' : soundness, end }
}

const isFragment = (bytes: Buffer, at: number, limit: number): boolean =>
  at + headerBytes <= limit &&
  types.has(bytes[at + 6] ?? 0) &&
  ofLength(bytes, at, bytes.readUInt16LE(at + 4), limit, true) !== undefined

/** Where the next sound fragment of a block begins, or the next block. */
function findFragment(bytes: Buffer, from: number, limit: number, blockEnd: number): number {
  for (let at = from; at < limit; at += 1) if (isFragment(bytes, at, limit)) return at
  return blockEnd
}

/** Reads the fragment at an offset. @returns undefined behind the last one that was wholly written */
function readFragment(bytes: Buffer, at: number, blockEnd: number): Fragment | undefined {
  const limit = Math.min(blockEnd, bytes.length)
  const length = bytes.readUInt16LE(at + 4)
  const found = ofLength(bytes, at, length, limit, false)
  if (found !== undefined) return found
  for (let bit = 0; bit < 16; bit += 1) {
    const other = ofLength(bytes, at, length ^ (1 << bit), limit, true)
    if (other !== undefined) return other
  }
  const end = at + headerBytes + length
  const next =
    end <= limit && length > 0 && isFragment(bytes, end, limit) ? end : findFragment(bytes, at + 1, limit, blockEnd)
  // A write that was cut off: nothing follows, and it is still zero or longer than what is there.
  const isLast = next === blockEnd && blockEnd >= bytes.length
  if (isLast && (end > bytes.length || bytes.subarray(at).every((byte) => byte === 0))) return undefined
  return { type: bytes[at + 6] ?? 0, data: bytes.subarray(at + headerBytes, next), state: 'damaged', end: next }
}

const worse = (a: Soundness, b: Soundness): Soundness =>
  a === 'damaged' || b === 'damaged' ? 'damaged' : a === 'mended' ? a : b

/** Every record of a log file up to a write that was cut off at its end, which was never acknowledged. */
export function* readLog(bytes: Buffer): Generator<LogRecord> {
  let open: { parts: Buffer[]; state: Soundness } | undefined
  const close = (state: Soundness): LogRecord[] => {
    const record = open === undefined ? [] : [{ data: Buffer.concat(open.parts), state: worse(open.state, state) }]
    open = undefined
    return record
  }
  for (let at = 0; at < bytes.length; ) {
    const blockEnd = at - (at % blockBytes) + blockBytes
    if (blockEnd - at < headerBytes) {
      at = blockEnd
      continue
    }
    const next = isTorn(bytes, at) ? undefined : readFragment(bytes, at, blockEnd)
    if (next === undefined) return
    at = next.end
    const begins = next.type === fragment.full || next.type === fragment.first
    // The end of the record before is missing, or this is a part of one whose start is.
    if (begins || next.state === 'damaged') yield* close('damaged')
    open ??= { parts: [], state: begins ? 'sound' : 'damaged' }
    open.parts.push(next.data)
    open.state = worse(open.state, next.state)
    if (next.type === fragment.full || next.type === fragment.last || next.state === 'damaged') yield* close('sound')
  }
}
