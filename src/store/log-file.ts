import { mend } from './mend.ts'

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
  readonly state: 'sound' | 'mended' | 'damaged'
}

/** A fragment as far as it can be made out. */
interface Fragment {
  readonly type: number
  readonly data: Buffer
  readonly state: LogRecord['state']
  /** Where the next one begins. */
  readonly end: number
}

const isTorn = (bytes: Buffer, at: number): boolean => bytes.length - at < headerBytes

/** Reads the fragment at an offset. @returns undefined behind the last one that was wholly written */
function readFragment(bytes: Buffer, at: number, blockEnd: number): Fragment | undefined {
  const found = mend(bytes, at, Math.min(blockEnd, bytes.length))
  if (found !== undefined) {
    const { type, length, flipped } = found
    const data = found.data ?? bytes.subarray(at + headerBytes, at + headerBytes + length)
    return { type, data, state: flipped ? 'mended' : 'sound', end: at + headerBytes + length }
  }
  const end = at + headerBytes + bytes.readUInt16LE(at + 4)
  // A write that was cut off: longer than what is there, or still zero.
  if (bytes.subarray(at, bytes.length).every((byte) => byte === 0)) return undefined
  if (end > bytes.length && blockEnd > bytes.length) return undefined
  const next = end <= Math.min(blockEnd, bytes.length) && end > at + headerBytes ? end : blockEnd
  return {
    type: bytes[at + 6] ?? 0,
    data: bytes.subarray(at + headerBytes, Math.min(next, bytes.length)),
    ...{ state: 'damaged', end: next },
  }
}

const worse = (a: LogRecord['state'], b: LogRecord['state']): LogRecord['state'] =>
  a === 'damaged' || b === 'damaged' ? 'damaged' : a === 'mended' ? a : b

/** Every record of a log file up to a write that was cut off at its end, which was never acknowledged. */
export function* readLog(bytes: Buffer): Generator<LogRecord> {
  let open: { parts: Buffer[]; state: LogRecord['state'] } | undefined
  const close = (state: LogRecord['state']): LogRecord[] => {
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
