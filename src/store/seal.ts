import { crc32 } from 'node:zlib'

/** First byte of every stored value. */
const valueFormat = 1
const headerBytes = 5

/**
 * A value as stored: format byte, CRC-32 (big-endian) of key and payload, payload.
 * LevelDB never verifies its blocks, and the key is part of the sum so that a value under the wrong key is found as well.
 * @param key full key with the prefix of its table
 */
export function seal(key: string, json: string): Uint8Array {
  const length = Buffer.byteLength(json)
  const bytes = Buffer.allocUnsafe(headerBytes + length)
  bytes[0] = valueFormat
  bytes.writeUInt32BE(crc32(key + json), 1)
  // Each character of ASCII is one byte in Latin 1 as well, which Node writes faster.
  bytes.write(json, headerBytes, length === json.length ? 'latin1' : 'utf8')
  return bytes
}

/**
 * The payload of a stored value.
 * @returns undefined when one bit of value or key is not as it was written
 */
export function unseal(key: string, stored: Uint8Array): string | undefined {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  if (bytes.length < headerBytes || bytes[0] !== valueFormat) return undefined
  const payload = bytes.subarray(headerBytes)
  return crc32(payload, crc32(key)) === bytes.readUInt32BE(1) ? payload.toString('utf8') : undefined
}
