/** Source of wall time and timers, injected everywhere so that tests hold time in their hand. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Milliseconds since an unknown start that only grow, whatever is done to the wall clock. Where it is missing: `now`. */
  monotonic?(): number
  /** Runs `task` once after `ms` milliseconds; the returned function cancels it. Never keeps the process alive. */
  after(ms: number, task: () => void): () => void
  /** Who says that `now` is right. Where it is missing: nobody. */
  vouch?(): Voucher
  /** Whether `now` is known to be the time of day. Where it is missing, it is. */
  trusted?(): boolean
}

/** The operator; a time service that has set the clock, or has yet to do so (`waiting`); or nobody. */
export type Voucher = 'setting' | 'timesync' | 'waiting' | 'nobody'

/** For lengths of time: no setting of the wall clock makes them longer or shorter. Milliseconds from an unknown start. */
export const elapsed = (clock: Clock): number => clock.monotonic?.() ?? clock.now()

/** Node fires longer timers at once. */
const longestTimer = 2_147_483_647

/** The end of the year 9999: no reader of four-digit years understands a later time. */
export const latestTime = 253_402_300_799_999

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => Math.floor(performance.now()),
  after(ms, task) {
    let timer: NodeJS.Timeout
    const wait = (left: number): void => {
      timer =
        left > longestTimer ? setTimeout(wait, longestTimer, left - longestTimer) : setTimeout(task, Math.max(left, 0))
      timer.unref()
    }
    wait(ms)
    return () => clearTimeout(timer)
  },
}

const isoTime = (ms: number): string => new Date(Math.min(ms, latestTime)).toISOString()

/** `2024-10-24 08:00:00.123Z`: the spelling of times inside replies, which base Java parses by pattern (page 03, 2.3). */
export const replyTime = (ms: number): string => isoTime(ms).replace('T', ' ')

/** `2024-10-24T08:00:00.123000Z`: the spelling of times inside commands sent to a peer (page 07, section 5). */
export const wireTime = (ms: number): string => `${isoTime(ms).slice(0, -1)}000Z`

const utcTime = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.(\d+))?Z$/

/** Milliseconds of an ISO-8601 UTC time with any number of fraction digits (cut to milliseconds), or undefined. */
export function parseUtc(text: string): number | undefined {
  const match = utcTime.exec(text)
  if (match === null) return undefined
  const fraction = match[1] ?? ''
  const spelt = text.slice(0, 19).replace(' ', 'T')
  const seconds = Date.parse(`${spelt}Z`)
  // Date.parse takes 30 February for 2 March, and 24:00:00 for the next day.
  if (new Date(seconds).getUTCDate() !== Number(text.slice(8, 10))) return undefined
  return seconds + Number(fraction.slice(0, 3).padEnd(3, '0'))
}
