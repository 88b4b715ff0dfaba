import { isUtf8 } from 'node:buffer'
import type { LineBudget, LineShare } from './line-budget.ts'
import { ownText } from './own-text.ts'

/** What came out of the bytes: a line of text without its line end, or the reason why there is none. */
export type Frame =
  | {
      readonly kind: 'line'
      readonly text: string
      /** Of a long line that shares memory with others: to be called once it was dealt with, or never will be. */
      readonly release?: () => void
    }
  /** The line was not UTF-8. */
  | { readonly kind: 'notUtf8' }
  /** The line passed the limit, or there is no room for it beside others now; bytes are dropped up to its LF. */
  | { readonly kind: 'tooLong'; readonly noRoom?: true }

/** Gives back the memory of a long line, once it was dealt with or never will be. */
export function dealtWith(frame: Frame | undefined): void {
  if (frame?.kind === 'line') frame.release?.()
}

/** JavaScript's `trim` leaves U+0085, which Dart's removes (page 01, section 3). */
const blank = /[\s\u0085]/

const isBlank = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at)
  return (code <= 0x20 || code >= 0x7f) && blank.test(text.charAt(at))
}

/** A loop, because a regex with `$` looks at every run of blanks inside the line again and again. */
function trimmed(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text, from)) from++
  while (to > from && isBlank(text, to - 1)) to--
  return to - from === text.length ? text : ownText(text.slice(from, to), text.length)
}

/** Cuts a stream of bytes into lines, at every LF, whatever the chunks are. Holds at most one line. */
export interface LineSplitter {
  /** Frames completed by these bytes, in order. The bytes are not kept. */
  push(chunk: Uint8Array): Frame[]
  /**
   * The text of bytes that are one short line and nothing else, as it came: not trimmed, and with U+FFFD for what is not
   * UTF-8. Undefined for all others. They have to be pushed when the text is not the one that was looked for.
   */
  soleLine(chunk: Uint8Array): string | undefined
  /** Changes the longest line accepted, in bytes with its LF, and the memory that long ones share with others. */
  setLimit(bytes: number, budget?: LineBudget): void
  /** Forgets the line that has begun: nothing more will come. */
  release(): void
}

/** Shorter lines are not counted: the most connections there may be hold little with them. */
const uncountedBytes = 65_536

/** What bytes that are not UTF-8 are read as; bytes may also be this character. */
export const replacement = '\ufffd'

const noRoom: Frame = { kind: 'tooLong', noRoom: true }

/** @param budget where a long line is counted until it was dealt with */
function frameOf(bytes: Buffer, from: number, to: number, budget: LineBudget | undefined): Frame {
  const text = bytes.toString('utf8', from, to)
  if (text.includes(replacement) && !isUtf8(bytes.subarray(from, to))) return { kind: 'notUtf8' }
  const line = trimmed(text)
  if (budget === undefined || line.length <= uncountedBytes) return { kind: 'line', text: line }
  // V8 keeps a byte for each character while all are of ASCII, else at most two.
  const release = budget.take(text.length === to - from ? text.length : 2 * text.length)
  return release === undefined ? noRoom : { kind: 'line', text: line, release }
}

const nothing = Buffer.alloc(0)

const bufferOf = (chunk: Uint8Array): Buffer =>
  chunk instanceof Buffer ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)

/** Lines that are looked for whole: the same longer one hardly ever comes again, and no limit of any session is lower. */
const shortLineBytes = 512

/**
 * @param limit longest line in bytes with its LF; a longer one yields one `tooLong` frame at once
 * @param budget shared with other splitters; a line that has to give way, or finds no room, yields `tooLong` too
 */
export function lineSplitter(limit: number, budget?: LineBudget): LineSplitter {
  let longest = limit
  let held = nothing
  let heldBytes = 0
  let skipping = false
  /** The line under way had to give way; nobody was told yet. */
  let gaveWay = false
  let share: LineShare | undefined
  let lender = budget

  const giveUp = (): void => {
    drop()
    skipping = true
    gaveWay = true
  }
  share = budget?.join(giveUp)

  const hold = (piece: Buffer): void => {
    const needed = heldBytes + piece.length
    if (needed > held.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, Math.min(2 * held.length, longest)))
      held.copy(grown, 0, 0, heldBytes)
      held = grown
    }
    piece.copy(held, heldBytes)
    heldBytes = needed
    if (held.length > uncountedBytes) share?.holds(held.length)
  }

  const drop = (): void => {
    if (held.length > uncountedBytes) share?.holds(0)
    held = nothing
    heldBytes = 0
  }

  const complete = (bytes: Buffer, from: number, to: number): Frame | undefined => {
    if (skipping) {
      skipping = false
      return undefined
    }
    if (heldBytes + to - from + 1 > longest) {
      drop()
      return { kind: 'tooLong' }
    }
    if (heldBytes === 0) return frameOf(bytes, from, to, lender)
    hold(bytes.subarray(from, to))
    if (gaveWay) {
      gaveWay = false
      skipping = false
      return noRoom
    }
    const whole = held.subarray(0, heldBytes)
    drop()
    return frameOf(whole, 0, whole.length, lender)
  }

  return {
    setLimit(bytes, shared) {
      longest = bytes
      share?.holds(0)
      share = shared?.join(giveUp)
      lender = shared
    },
    release: drop,
    soleLine(chunk) {
      const last = chunk.length - 1
      if (heldBytes > 0 || skipping || gaveWay || last >= shortLineBytes || chunk.indexOf(10) !== last) return undefined
      return bufferOf(chunk).toString('utf8', 0, last)
    },
    push(chunk) {
      const bytes = bufferOf(chunk)
      const frames: Frame[] = gaveWay ? [noRoom] : []
      gaveWay = false
      let from = 0
      while (from < bytes.length) {
        const lf = bytes.indexOf(10, from)
        if (lf === -1) break
        const frame = complete(bytes, from, lf)
        if (frame !== undefined) frames.push(frame)
        from = lf + 1
      }
      if (from === bytes.length || skipping) return frames
      const rest = bytes.subarray(from)
      if (heldBytes + rest.length >= longest) {
        drop()
        skipping = true
        frames.push({ kind: 'tooLong' })
      } else {
        hold(rest)
        if (gaveWay) {
          gaveWay = false
          frames.push(noRoom)
        }
      }
      return frames
    },
  }
}
