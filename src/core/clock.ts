/** Source of wall time and timers, injected everywhere so that tests hold time in their hand. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Runs `task` once after `ms` milliseconds; the returned function cancels it. Never keeps the process alive. */
  after(ms: number, task: () => void): () => void
}

const longestTimer = 2_147_483_647

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, task) {
    const timer = setTimeout(task, Math.min(Math.max(ms, 0), longestTimer))
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** `2024-10-24 08:00:00.123Z`: the spelling of times inside replies, which base Java parses by pattern (page 03, 2.3). */
export const replyTime = (ms: number): string => new Date(ms).toISOString().replace('T', ' ')

/** `2024-10-24T08:00:00.123000Z`: the spelling of times inside commands sent to a peer (page 07, section 5). */
export const wireTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z')

const utcTime = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.(\d{1,9}))?Z$/

/** Milliseconds of an ISO-8601 UTC time with any number of fraction digits (cut to milliseconds), or undefined. */
export function parseUtc(text: string): number | undefined {
  const match = utcTime.exec(text)
  if (match === null) return undefined
  const fraction = match[1] ?? ''
  const seconds = Date.parse(`${text.slice(0, 19).replace(' ', 'T')}Z`)
  if (Number.isNaN(seconds)) return undefined
  return seconds + Number(fraction.slice(0, 3).padEnd(3, '0'))
}
