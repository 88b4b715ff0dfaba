import { readVarint } from './varint.ts'

/** Largest block that LevelDB writes is one value with its neighbours. */
const mostBytes = 64 * 1024 * 1024

function copyBack(out: Buffer, at: number, offset: number, length: number): number | undefined {
  if (offset === 0 || offset > at || at + length > out.length) return undefined
  // Byte by byte: the copy may reach into itself.
  for (let step = 0; step < length; step += 1) out[at + step] = out[at + step - offset] ?? 0
  return at + length
}

/** Undoes Snappy (format_description.txt of google/snappy). @returns undefined when the bytes are none */
export function unsnap(bytes: Buffer): Buffer | undefined {
  const reader = { at: 0, bytes }
  const size = readVarint(reader)
  if (size === undefined || size > mostBytes) return undefined
  const out = Buffer.alloc(size)
  let at: number | undefined = 0
  let { at: from } = reader
  while (from < bytes.length && at !== undefined) {
    const tag = bytes[from] ?? 0
    from += 1
    const kind = tag & 3
    if (kind === 0) {
      const extra = Math.max((tag >> 2) - 59, 0)
      if (from + extra > bytes.length) return undefined
      const length: number = (extra === 0 ? tag >> 2 : bytes.readUIntLE(from, extra)) + 1
      from += extra
      if (from + length > bytes.length || at + length > size) return undefined
      bytes.copy(out, at, from, from + length)
      from += length
      at += length
      continue
    }
    const width = kind === 3 ? 4 : kind
    if (from + width > bytes.length) return undefined
    const low = bytes.readUIntLE(from, width)
    from += width
    at = copyBack(
      out,
      at,
      kind === 1 ? ((tag >> 5) << 8) | low : low,
      kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1,
    )
  }
  return at === size ? out : undefined
}
