/** Bounds of the pauses between attempts, in milliseconds. */
const firstMs = 500
const longestMs = 60_000

/** Pauses that double up to a minute, each cut by up to half at random so that many clients do not return at once. */
export interface BackOff {
  next(): number
  reset(): void
}

/** @param random source of numbers from 0 up to 1 */
export function createBackOff(random: () => number = Math.random): BackOff {
  let failures = 0
  return {
    next() {
      const ms = Math.min(longestMs, firstMs * 2 ** failures)
      if (ms < longestMs) failures++
      return ms * (1 - random() / 2)
    },
    reset() {
      failures = 0
    },
  }
}
