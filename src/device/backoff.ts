const firstMs = 1_000
const longestMs = 60_000

/**
 * Milliseconds to wait before connection attempt `attempt` (0 for the first retry): twice as long each time up to a minute,
 * give or take a fifth, so that sensors that lost the same broker do not come back at once.
 * @param random from 0 to below 1
 */
export function backoffMs(attempt: number, random: number): number {
  const base = Math.min(longestMs, firstMs * 2 ** Math.min(attempt, 16))
  return Math.round(base * (0.8 + 0.4 * random))
}
