import { limits } from '../core/limits.ts'
import { dealtWith, type Frame } from '../wire/framing.ts'

/** Lines of one client that came and were not started yet, in order. */
export interface Backlog {
  /** How many they are, and their characters. */
  lines(): number
  chars(): number
  add(frames: readonly Frame[]): void
  /** The next one; undefined when there is none. */
  peek(): Frame | undefined
  /** The next one is started: it waits no more. */
  start(frame: Frame): void
  /** Lets go of those that were started, once their number, or a long one among them, is worth it. */
  tidy(): void
  /** None of them will be started. */
  clear(): void
}

/** Characters of the text of a line. */
export const weightOf = (frame: Frame): number => (frame.kind === 'line' ? frame.text.length : 0)

const nothing: readonly Frame[] = []

export function createBacklog(): Backlog {
  /** Those before `next` have been started. */
  let queue: readonly Frame[] = nothing
  let next = 0
  let chars = 0
  /** A line among those that were started is long: it must not stay until others have been started. */
  let startedLong = false

  const cut = (): void => {
    queue = next < queue.length ? queue.slice(next) : nothing
    next = 0
    startedLong = false
  }

  return {
    lines: () => queue.length - next,
    chars: () => chars,
    add(frames) {
      for (const frame of frames) chars += weightOf(frame)
      queue = queue.length === next ? frames : queue.slice(next).concat(frames)
      next = 0
      startedLong = false
    },
    peek: () => queue[next],
    start(frame) {
      next++
      chars -= weightOf(frame)
      if (frame.kind === 'line' && frame.release !== undefined) startedLong = true
    },
    tidy() {
      if (next >= queue.length || next >= limits.pipelinedLines || startedLong) cut()
    },
    clear() {
      for (let index = next; index < queue.length; index++) dealtWith(queue[index])
      next = queue.length
      chars = 0
      cut()
    },
  }
}
