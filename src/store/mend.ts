// CRC-32C as LevelDB uses it, and what it is good for besides: the bit that was flipped can be told from the sum.

const polynomial = 0x82f63b78

/** Eight tables, to take eight bytes in one turn. */
const tables: readonly Uint32Array[] = (() => {
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
    return crc >>> 0
  })
  const all = [first]
  for (let table = 1; table < 8; table += 1) {
    all.push(all[table - 1]?.map((crc) => (first[crc & 0xff] ?? 0) ^ (crc >>> 8)) ?? first)
  }
  return all
})()
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  ...[Uint32Array, Uint32Array, Uint32Array, Uint32Array],
  ...[Uint32Array, Uint32Array, Uint32Array, Uint32Array],
]

const at = (table: Uint32Array, index: number): number => table[index & 0xff] as number
const step = (crc: number, byte: number): number => at(t0, crc ^ byte) ^ (crc >>> 8)

/** CRC-32C (Castagnoli) of some bytes. */
export function crc32c(bytes: Buffer): number {
  let crc = -1
  let place = 0
  for (const end = bytes.length - 7; place < end; place += 8) {
    const low = crc ^ bytes.readInt32LE(place)
    const high = bytes.readInt32LE(place + 4)
    crc = at(t7, low) ^ at(t6, low >>> 8) ^ at(t5, low >>> 16) ^ at(t4, low >>> 24)
    crc ^= at(t3, high) ^ at(t2, high >>> 8) ^ at(t1, high >>> 16) ^ at(t0, high >>> 24)
  }
  for (; place < bytes.length; place += 1) crc = step(crc, bytes[place] ?? 0)
  return (crc ^ -1) >>> 0
}

/** The form in which LevelDB stores a sum, so that a sum over data with sums in it stays a good one. */
export const maskCrc = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282_ead8) >>> 0
const unmaskCrc = (masked: number): number => {
  const rotated = (masked - 0xa282_ead8) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

/** The place of the one bit whose flip turns one sum into another. @returns undefined when more than one bit is wrong */
function findFlip(length: number, difference: number): { byte: number; mask: number } | undefined {
  const traces = Array.from({ length: 8 }, (_, bit) => at(t0, 1 << bit))
  for (let byte = length - 1; byte >= 0; byte -= 1) {
    for (let bit = 0; bit < 8; bit += 1) {
      const trace = traces[bit] ?? 0
      if (trace === difference) return { byte, mask: 1 << bit }
      traces[bit] = step(trace, 0) >>> 0
    }
  }
  return undefined
}

/** Whether bytes are as they were written, can be put right, or cannot. */
export type Soundness = 'sound' | 'mended' | 'damaged'

/**
 * Compares bytes with their masked sum and puts the bit right that was flipped in either, if it was one.
 * @param covered is changed when the bit lies in it
 * @param sumAt where in `bytes` the sum lies; it is put right as well
 */
export function putRight(covered: Buffer, bytes: Buffer, sumAt: number): Soundness {
  const stored = bytes.readUInt32LE(sumAt)
  const sum = crc32c(covered)
  const between = (maskCrc(sum) ^ stored) >>> 0
  if (between === 0) return 'sound'
  if ((between & (between - 1)) === 0) {
    bytes.writeUInt32LE(maskCrc(sum), sumAt)
    return 'mended'
  }
  const flip = findFlip(covered.length, (unmaskCrc(stored) ^ sum) >>> 0)
  if (flip === undefined) return 'damaged'
  covered[flip.byte] = (covered[flip.byte] ?? 0) ^ flip.mask
  return 'mended'
}
