import type { Clock } from '../../src/core/clock.ts'

/** A clock that only moves when a test says so. */
export interface ManualClock extends Clock {
  /** Moves time forward by `ms` and runs what falls due, in order of time, each at its own time. */
  advance(ms: number): void
}

interface Timer {
  readonly at: number
  readonly task: () => void
}

/** @param start milliseconds since the epoch */
export function manualClock(start = Date.UTC(2026, 0, 31, 10)): ManualClock {
  let now = start
  const timers = new Set<Timer>()

  function next(until: number): Timer | undefined {
    let first: Timer | undefined
    // A Set keeps the order of insertion, so of two timers for one moment the older one runs first.
    for (const timer of timers) if (timer.at <= until && (first === undefined || timer.at < first.at)) first = timer
    return first
  }

  return {
    now: () => now,
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
}
