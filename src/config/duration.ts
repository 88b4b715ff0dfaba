const unitMs: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

/** Longest duration that is read: ten years in milliseconds. A longer one is a slip of the keyboard. */
export const longestDuration = 315_360_000_000

/**
 * Milliseconds of a duration such as `500ms`, `10s`, `15m`, `1h` or `7d`.
 * @returns undefined for anything else: no unit, a fraction, a sign, more than ten years
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text)
  if (match === null) return undefined
  const ms = Number(match[1]) * (unitMs.get(match[2] ?? '') ?? Number.NaN)
  return ms <= longestDuration ? ms : undefined
}

/** Shortest spelling of whole milliseconds: `90s`, not `90000ms`. The inverse of `parseDuration`. */
export function formatDuration(ms: number): string {
  const fitting = [...unitMs].reverse().find(([, size]) => ms % size === 0 && ms >= size)
  const [unit, size] = fitting ?? ['ms', 1]
  return `${ms / size}${unit}`
}
