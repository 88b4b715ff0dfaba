import { type Clock, elapsed } from '../core/clock.ts'

/** Limits of one length for many things under way: one timer, for the first of them, serves all. */
export interface Deadlines {
  /** @param expired called when the time is over @returns takes the limit back, and tells whether it was in time */
  add(expired: () => void): () => boolean
}

/** @param ms how long everything may take */
export function createDeadlines(clock: Clock, ms: number): Deadlines {
  /** In the order in which they end. */
  const open = new Set<{ readonly at: number; readonly expired: () => void }>()
  let isArmed = false

  function arm(wait: number): void {
    isArmed = true
    clock.after(wait, look)
  }

  function look(): void {
    isArmed = false
    const now = elapsed(clock)
    for (const deadline of open) {
      if (deadline.at > now) {
        arm(deadline.at - now)
        return
      }
      open.delete(deadline)
      deadline.expired()
    }
  }

  return {
    add(expired) {
      const deadline = { at: elapsed(clock) + ms, expired }
      open.add(deadline)
      if (!isArmed) arm(ms)
      return () => open.delete(deadline)
    },
  }
}
