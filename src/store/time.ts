import type { Clock } from '../core/clock.ts'
import { type ClockStatus, createFlooredClock, type FlooredClock } from '../core/clock-floor.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { Committed } from './committed.ts'
import type { Operation } from './database.ts'
import type { Draft } from './draft.ts'
import { floorKey, tables, vouchedKey } from './layout.ts'
import { seal } from './seal.ts'

/** The clock of a store, whose floor outlives the process. */
export interface TimeKeeper {
  readonly clock: FlooredClock
  /** The floor as a row that goes along with a batch, where the one on flash is old enough. */
  ride(): Operation[]
  /** The floor as a part of the last change. */
  last(draft: Draft): void
}

/** A store that is closed sooner after the last floor writes none: a device that is restarted in a loop must not wear out. */
const worthAWriteMs = 60_000

/** Tells when trust is lost, and when it comes back. */
function teller(log: Log): (status: ClockStatus) => void {
  let doubted = false
  return ({ trusted, source, floor }) => {
    const time = new Date(floor).toISOString()
    if (!trusted) log('warn', 'the clock is not trusted; time goes on from the last that was known', { time })
    else if (doubted) log('info', 'the clock is trusted', { source, time })
    doubted = !trusted
  }
}

/** Reads the floor of earlier runs and keeps that of this one. A damaged floor is reported, and counts as none. */
export function createTimeKeeper(committed: Committed, base: Clock, log: Log): TimeKeeper {
  const stored = committed.tryGet(tables.meta, floorKey)
  const clock = createFlooredClock(base, stored, teller(log), committed.tryGet(tables.meta, vouchedKey))
  let kept = stored ?? 0
  const rows = (now: number): [name: string, time: number][] => {
    const vouched = clock.vouched()
    return vouched === 0
      ? [[floorKey, now]]
      : [
          [floorKey, now],
          [vouchedKey, vouched],
        ]
  }
  return {
    clock,
    ride() {
      const now = clock.now()
      if (Math.abs(now - kept) < limits.clockFloorMs) return []
      kept = now
      return rows(now).map(([name, time]) => {
        const key = tables.meta.prefix + name
        return { key, value: seal(key, JSON.stringify(time)) }
      })
    },
    last(draft) {
      const now = clock.now()
      if (Math.abs(now - kept) < worthAWriteMs) return
      for (const [name, time] of rows(now)) draft.put(tables.meta, name, time)
    },
  }
}
