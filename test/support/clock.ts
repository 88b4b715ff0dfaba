import type { Clock, Voucher } from '../../src/core/clock.ts'

/** A clock that only moves when a test says so. */
export interface ManualClock extends Clock {
  /** Moves time forward by `ms` and runs what falls due, in order of time, each at its own time. */
  advance(ms: number): void
  /** Sets the wall clock forward or back, and nothing else: no time has passed. */
  jump(ms: number): void
  /** Who vouches for the wall clock from now on; nobody at first. */
  voucher: Voucher
}

interface Timer {
  readonly at: number
  readonly task: () => void
}

/** @param start milliseconds since the epoch */
export function manualClock(start = Date.UTC(2026, 0, 31, 10)): ManualClock {
  let now = start
  let set = 0
  const timers = new Set<Timer>()

  function next(until: number): Timer | undefined {
    let first: Timer | undefined
    // A Set keeps the order of insertion, so of two timers for one moment the older one runs first.
    for (const timer of timers) if (timer.at <= until && (first === undefined || timer.at < first.at)) first = timer
    return first
  }

  const clock: ManualClock = {
    voucher: 'nobody',
    vouch: () => clock.voucher,
    now: () => now + set,
    monotonic: () => now,
    jump(ms) {
      set += ms
    },
    after(ms, task) {
      const timer = { at: now + Math.max(ms, 0), task }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    advance(ms) {
      const until = now + ms
      for (let timer = next(until); timer !== undefined; timer = next(until)) {
        timers.delete(timer)
        now = Math.max(now, timer.at)
        timer.task()
      }
      now = until
    },
  }
  return clock
}
