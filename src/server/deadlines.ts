import { type Clock, elapsed } from '../core/clock.ts'

/** Limits of one length for many things under way: one timer, for the first of them, serves all. */
export interface Deadlines {
  /** @param expired called when the time is over @returns takes the limit back, and tells whether it was in time */
  add(expired: () => void): () => boolean
}

interface Deadline {
  readonly at: number
  readonly expired: () => void
}

/** @param ms how long everything may take */
export function createDeadlines(clock: Clock, ms: number): Deadlines {
  /**
   * As many places as ever were needed at one time. Not a `Set`: each time so much has come and gone that it moves to a new
   * table, the old one refers to the new one, and once one of them is old for V8, all later ones and what they held live on.
   */
  const open: (Deadline | undefined)[] = []
  const free: number[] = []
  let isArmed = false

  function arm(wait: number): void {
    isArmed = true
    clock.after(wait, look)
  }

  /** @returns false when something else is there by now, or nothing */
  function leave(place: number, deadline: Deadline): boolean {
    if (open[place] !== deadline) return false
    open[place] = undefined
    free.push(place)
    return true
  }

  function look(): void {
    const now = elapsed(clock)
    let next = Number.POSITIVE_INFINITY
    const due: [place: number, deadline: Deadline][] = []
    for (const [place, deadline] of open.entries()) {
      if (deadline === undefined) continue
      if (deadline.at > now) next = Math.min(next, deadline.at)
      else due.push([place, deadline])
    }
    isArmed = false
    if (next < Number.POSITIVE_INFINITY) arm(next - now)
    for (const [place, deadline] of due) if (leave(place, deadline)) deadline.expired()
  }

  return {
    add(expired) {
      const deadline = { at: elapsed(clock) + ms, expired }
      const place = free.pop() ?? open.length
      open[place] = deadline
      if (!isArmed) arm(ms)
      return () => leave(place, deadline)
    },
  }
}
