// CRC-32C as LevelDB uses it, and what it is good for besides: the bit that was flipped can be told from the sum.

const polynomial = 0x82f63b78

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
  return crc >>> 0
})

const step = (crc: number, byte: number): number => ((table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8)) >>> 0

/** CRC-32C (Castagnoli) of some bytes. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) crc = step(crc, byte)
  return (crc ^ 0xffff_ffff) >>> 0
}

/** The form in which LevelDB stores a sum, so that a sum over data with sums in it stays a good one. */
export const maskCrc = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282_ead8) >>> 0
const unmaskCrc = (masked: number): number => {
  const rotated = (masked - 0xa282_ead8) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

/** The place of the one bit whose flip turns one sum into another. @returns undefined when more than one bit is wrong */
function findFlip(length: number, difference: number): { byte: number; mask: number } | undefined {
  const traces = Array.from({ length: 8 }, (_, bit) => table[1 << bit] ?? 0)
  for (let byte = length - 1; byte >= 0; byte -= 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      const trace = traces[bit] ?? 0
      if (trace === difference) return { byte, mask: 1 << bit }
      traces[bit] = step(trace, 0)
    }
  }
  return undefined
}

/** A fragment that is as it was written, or can be put right. */
export interface Mended {
  readonly type: number
  readonly length: number
  readonly flipped: boolean
  /** The data put right, where the flipped bit lay in them. */
  readonly data?: Buffer
}

const headerBytes = 7
const types = new Set([1, 2, 3, 4])

/** The fragment at an offset of a log file, read with a length that its header need not say. */
function tryLength(bytes: Buffer, at: number, length: number, limit: number, repair: boolean): Mended | undefined {
  if (at + headerBytes + length > limit) return undefined
  const stored = bytes.readUInt32LE(at)
  const covered = bytes.subarray(at + 6, at + headerBytes + length)
  const type = covered[0] ?? 0
  const sum = crc32c(covered)
  if (maskCrc(sum) === stored) return types.has(type) ? { type, length, flipped: false } : undefined
  if (!repair) return undefined
  const between = (maskCrc(sum) ^ stored) >>> 0
  if ((between & (between - 1)) === 0) return { type, length, flipped: true }
  const flip = findFlip(covered.length, (unmaskCrc(stored) ^ sum) >>> 0)
  if (flip === undefined) return undefined
  const right = Buffer.from(covered)
  right[flip.byte] = (right[flip.byte] ?? 0) ^ flip.mask
  const mendedType = right[0] ?? 0
  return types.has(mendedType) ? { type: mendedType, length, flipped: true, data: right.subarray(1) } : undefined
}

/**
 * Reads a fragment of a log file and finds the bit that was flipped in it, if one was.
 * @param limit where its block or the file ends
 * @returns undefined when more is wrong than one bit, or when it was never wholly written
 */
export function mend(bytes: Buffer, at: number, limit: number): Mended | undefined {
  const length = bytes.readUInt16LE(at + 4)
  const found = tryLength(bytes, at, length, limit, true)
  if (found !== undefined) return found
  for (let bit = 0; bit < 16; bit += 1) {
    const other = tryLength(bytes, at, length ^ (1 << bit), limit, false)
    if (other !== undefined) return { ...other, flipped: true }
  }
  return undefined
}
