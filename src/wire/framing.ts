import { isUtf8 } from 'node:buffer'

/** What came out of the bytes: a line of text without its line end, or the reason why there is none. */
export type Frame =
  | { readonly kind: 'line'; readonly text: string }
  /** The line was not UTF-8. */
  | { readonly kind: 'notUtf8' }
  /** The line passed the limit; bytes are dropped up to its LF. */
  | { readonly kind: 'tooLong' }

/** JavaScript's `trim` leaves U+0085, which Dart's removes (page 01, section 3). */
const blank = /[\s\u0085]/

/** A loop, because a regex with `$` looks at every run of blanks inside the line again and again. */
function trimmed(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && blank.test(text.charAt(from))) from++
  while (to > from && blank.test(text.charAt(to - 1))) to--
  return text.slice(from, to)
}

/** Cuts a stream of bytes into lines, at every LF, whatever the chunks are. Holds at most one line. */
export interface LineSplitter {
  /** Frames completed by these bytes, in order. The bytes are not kept. */
  push(chunk: Uint8Array): Frame[]
  /** Changes the longest line accepted, in bytes with its LF. */
  setLimit(bytes: number): void
}

const frameOf = (bytes: Buffer): Frame =>
  isUtf8(bytes) ? { kind: 'line', text: trimmed(bytes.toString('utf8')) } : { kind: 'notUtf8' }

const nothing = Buffer.alloc(0)

/** @param limit longest line in bytes with its LF; a longer one yields one `tooLong` frame at once */
export function lineSplitter(limit: number): LineSplitter {
  let longest = limit
  let held = nothing
  let heldBytes = 0
  let skipping = false

  const hold = (piece: Buffer): void => {
    if (heldBytes + piece.length > held.length) {
      const grown = Buffer.allocUnsafe(Math.max(2 * held.length, heldBytes + piece.length))
      held.copy(grown, 0, 0, heldBytes)
      held = grown
    }
    piece.copy(held, heldBytes)
    heldBytes += piece.length
  }

  const drop = (): void => {
    held = nothing
    heldBytes = 0
  }

  const complete = (piece: Buffer): Frame | undefined => {
    if (skipping) {
      skipping = false
      return undefined
    }
    if (heldBytes + piece.length + 1 > longest) {
      drop()
      return { kind: 'tooLong' }
    }
    if (heldBytes === 0) return frameOf(piece)
    hold(piece)
    const frame = frameOf(held.subarray(0, heldBytes))
    drop()
    return frame
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
      if (heldBytes + rest.length >= longest) {
        drop()
        skipping = true
        frames.push({ kind: 'tooLong' })
      } else hold(rest)
      return frames
    },
  }
}
