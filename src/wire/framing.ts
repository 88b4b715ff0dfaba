import { isUtf8 } from 'node:buffer'

/** What came out of the bytes: a line of text without its line end, or the reason why there is none. */
export type Frame =
  | { readonly kind: 'line'; readonly text: string }
  /** The line was not UTF-8. */
  | { readonly kind: 'notUtf8' }
  /** The line passed the limit; bytes are dropped up to its LF. */
  | { readonly kind: 'tooLong' }

/** JavaScript's `trim` leaves U+0085, which Dart's removes (page 01, section 3). */
const edges = /^[\s\u0085]+|[\s\u0085]+$/g

const trimmed = (text: string): string => {
  const first = text.charCodeAt(0)
  const last = text.charCodeAt(text.length - 1)
  return first > 32 && first < 127 && last > 32 && last < 127 ? text : text.replace(edges, '')
}

/** Cuts a stream of bytes into lines, at every LF, whatever the chunks are. Holds at most one line. */
export interface LineSplitter {
  /** Frames completed by these bytes, in order. */
  push(chunk: Uint8Array): Frame[]
  /** Changes the longest line accepted, in bytes with its LF. */
  setLimit(bytes: number): void
}

/** @param limit longest line in bytes with its LF; a longer one yields one `tooLong` frame at once */
export function lineSplitter(limit: number): LineSplitter {
  let longest = limit
  let held: Uint8Array[] = []
  let heldBytes = 0
  let skipping = false

  const frameOf = (bytes: Buffer): Frame =>
    isUtf8(bytes) ? { kind: 'line', text: trimmed(bytes.toString('utf8')) } : { kind: 'notUtf8' }

  const complete = (piece: Buffer): Frame | undefined => {
    if (skipping) {
      skipping = false
      return undefined
    }
    if (heldBytes + piece.length + 1 > longest) {
      held = []
      heldBytes = 0
      return { kind: 'tooLong' }
    }
    const bytes = heldBytes === 0 ? piece : Buffer.concat([...held, piece])
    held = []
    heldBytes = 0
    return frameOf(bytes)
  }

  return {
    setLimit(bytes) {
      longest = bytes
    },
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      const frames: Frame[] = []
      let from = 0
      for (let lf = bytes.indexOf(10); lf !== -1; lf = bytes.indexOf(10, from)) {
        const frame = complete(bytes.subarray(from, lf))
        if (frame !== undefined) frames.push(frame)
        from = lf + 1
      }
      const rest = bytes.subarray(from)
      if (rest.length === 0 || skipping) return frames
      held.push(rest)
      heldBytes += rest.length
      if (heldBytes >= longest) {
        held = []
        heldBytes = 0
        skipping = true
        frames.push({ kind: 'tooLong' })
      }
      return frames
    },
  }
}
