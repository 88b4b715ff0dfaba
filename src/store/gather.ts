/** Decides how long a group that fills waits before it is written. */
export interface Gather {
  /** A group of so many changes was written, which took that long. */
  wrote(changes: number, ms: number): void
  /** Whether a group of so many changes should wait another turn for more of them. */
  waits(changes: number): boolean
}

/** Flash that writes faster is best kept busy: while it writes for some, the others are served. */
const slowMs = 4
/** Part of the time of a flash write that is spent on saving one. */
const share = 0.25
/** Milliseconds that a change waits at most for others. */
const longest = 1

/**
 * Whoever was answered together comes back together, but not in one turn: on slow flash, without a short wait, the first
 * to arrive take a write for themselves, and all others wait for two. Whoever comes alone never waits.
 * @param now milliseconds of a clock that only goes forward
 */
export function createGather(now: () => number = () => performance.now()): Gather {
  let expected = 0
  let until = 0
  return {
    wrote(changes, ms) {
      expected = changes
      until = ms < slowMs ? 0 : now() + Math.min(longest, share * ms)
    },
    waits: (changes) => changes < expected && now() < until,
  }
}
