import { AtError } from '../core/errors.ts'
import type { Priority } from '../core/notification.ts'

/** Back-off of the reference: 200 ms growing by the golden ratio to 10 s (page 07, 16.2), spread by a fifth. */
const firstPauseMs = 200
const growth = 1.618
const longestPauseMs = 10_000

/** With no place free, one is asked for again after these times at most: the urgent ask more often, and so come first. */
const longestWaitMs: Readonly<Record<Priority, number>> = { high: 500, medium: 2_000, low: longestPauseMs }

/**
 * Milliseconds until a peer that has failed so often before is tried again.
 * @param random from 0 to 1
 * @param attempt how it failed, and how urgent what waits is
 */
export function pauseFor(failures: number, random: number, attempt?: { error: Error; urgency: Priority }): number {
  const hadNoPlace = attempt?.error instanceof AtError && attempt.error.code === 'AT0006'
  const longestMs = hadNoPlace ? longestWaitMs[attempt.urgency] : longestPauseMs
  return Math.min(firstPauseMs * growth ** failures, longestMs) * (0.8 + 0.4 * random)
}
