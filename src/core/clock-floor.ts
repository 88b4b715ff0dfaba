import { type Clock, elapsed } from './clock.ts'

/**
 * Why the time is trusted: the operator says so, a time service has set the wall clock, or nothing speaks against it. `none`
 * when it is not trusted.
 */
export type ClockSource = 'setting' | 'timesync' | 'plausible' | 'none'

/** What `status` says about the clock. */
export interface ClockStatus {
  readonly trusted: boolean
  readonly source: ClockSource
  /** No time before this one is ever given. Milliseconds since the epoch. */
  readonly floor: number
}

/** A clock with a floor under it. */
export interface FlooredClock extends Clock {
  monotonic(): number
  trusted(): boolean
  status(): ClockStatus
}

/** A clock of which a later run has to know more than its floor. */
export interface KeptClock extends FlooredClock {
  /** The latest time that the operator or a time service vouched for; 0 when there is none. Milliseconds since the epoch. */
  vouched(): number
}

/** 1 January 2025: this program had not run anywhere before. */
export const earliestTime = 1_735_689_600_000

const day = 86_400_000

/** A wall clock that is further ahead of the time that has passed for sure was set wrongly, unless somebody vouches for it. */
const plausibleMs = 2 * 365 * day

/** So much may a clock be set back: by hand or by drift, and by a time service that corrects a bad guess. */
const setBackMs = { setting: Number.POSITIVE_INFINITY, timesync: day, nobody: 60_000 }

/**
 * The time of day on a board whose wall clock starts in 1970 and may jump at any time.
 *
 * While the wall clock is trusted, `now` is the wall clock, or stands still where that was set back. While it is not, `now`
 * is the last time that was trusted (at the start: the floor, which the store keeps) plus what has passed since by the
 * monotonic clock. That is never later than the true time. So what expires by it has lived its whole life, nothing expires
 * because a wall clock is wrong, and a record that is stamped by it carries a time at which it surely did not exist yet, as
 * near to the truth as the device knows. When trust comes back, `now` goes forward to the wall clock, never back.
 *
 * @param base wall time, and who vouches for it
 * @param stored the floor of an earlier run, undefined for the first one
 * @param onChange told whenever the source changes, and of the first one
 * @param vouchedBefore `vouched` of an earlier run: a time service at the start puts a floor right that is later
 */
export function createFlooredClock(
  base: Clock,
  stored: number | undefined,
  onChange: (status: ClockStatus) => void = () => {},
  vouchedBefore = 0,
): KeptClock {
  let floor = Math.max(stored ?? earliestTime, earliestTime)
  let since = elapsed(base)
  let vouched = vouchedBefore
  let source: ClockSource | undefined
  let first = true

  const passed = (at: number): number => floor + Math.max(at - since, 0)

  function judge(wall: number, at: number): ClockSource {
    const voucher = base.vouch?.() ?? 'nobody'
    if (voucher === 'waiting' || wall < earliestTime) return 'none'
    const corrects = first && voucher === 'timesync' && wall >= vouched - setBackMs.timesync
    if (!corrects && passed(at) - wall > setBackMs[voucher]) return 'none'
    if (voucher === 'setting') return 'setting'
    // After a long time in a drawer, or on its first day, a clock may be far ahead of the floor; a running one may not jump.
    const unbounded = first && (voucher === 'timesync' || stored === undefined)
    if (!unbounded && wall - passed(at) > plausibleMs) return 'none'
    return voucher === 'timesync' ? 'timesync' : 'plausible'
  }

  /** Whose word counts now; a trusted time becomes the floor of all later ones. */
  function look(at: number, wall = base.now()): ClockSource {
    const found = judge(wall, at)
    if (found !== 'none') {
      // At the start a good word is stronger than a floor that came from a wrong clock.
      const isWrong = first && (found === 'setting' || floor - wall > setBackMs.timesync)
      floor = isWrong ? wall : Math.max(wall, floor)
      if (found === 'setting') vouched = wall
      if (found === 'timesync') vouched = Math.max(wall, vouched)
      since = at
      first = false
    }
    if (found !== source) {
      source = found
      onChange({ trusted: found !== 'none', source: found, floor: passed(at) })
    }
    return found
  }

  let judgedWall: number | undefined

  /** A millisecond that was trusted is not judged again: busy servers ask for the time 100,000 times a second. */
  const now = (): number => {
    const wall = base.now()
    // A trusted time has become the floor.
    if (wall === judgedWall) return floor
    const at = elapsed(base)
    judgedWall = look(at, wall) === 'none' ? undefined : wall
    return passed(at)
  }

  return {
    now,
    monotonic: () => elapsed(base),
    after: (ms, task) => base.after(ms, task),
    vouched: () => vouched,
    trusted: () => look(elapsed(base)) !== 'none',
    status() {
      const at = elapsed(base)
      const found = look(at)
      return { trusted: found !== 'none', source: found, floor: passed(at) }
    },
  }
}
