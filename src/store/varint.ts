/** A place in bytes that LevelDB has written. */
export interface ByteReader {
  at: number
  readonly bytes: Buffer
}

/** A whole number in groups of seven bits, the lowest first. @returns undefined when the bytes end before it does */
export function readVarint(reader: ByteReader): number | undefined {
  let value = 0
  for (let shift = 0; shift < 64; shift += 7) {
    const byte = reader.bytes[reader.at]
    if (byte === undefined) return undefined
    reader.at += 1
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return value
  }
  return undefined
}

/** Bytes behind their length. @returns undefined when they are not all there */
export function readSlice(reader: ByteReader): Buffer | undefined {
  const length = readVarint(reader)
  if (length === undefined || reader.at + length > reader.bytes.length) return undefined
  reader.at += length
  return reader.bytes.subarray(reader.at - length, reader.at)
}
