import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { reasonOf } from './refusal.ts'

/** Brings changes to flash that were acknowledged before. */
export interface IntervalSync {
  /** A change was written that has to be on flash one interval from now. */
  wrote(): void
  /** Resolves when all of them are on flash; at once when they are. @throws the error of the disk */
  settle(): Promise<void>
  stop(): void
}

/**
 * One sync serves everything that was written in an interval. LevelDB has no sync of its own: a synced batch reaches only
 * the log file to which it is appended, and LevelDB may have begun a new one since. So a synced group settles what is
 * open first; otherwise a power cut could keep the later change and lose the earlier one that it builds on.
 * @param parts `sync` puts everything written so far on flash
 */
export function createIntervalSync(parts: {
  readonly sync: () => Promise<void>
  readonly intervalMs: number
  readonly clock: Clock
  readonly log: Log
}): IntervalSync {
  const { sync, intervalMs, clock, log } = parts
  let written = 0
  let synced = 0
  let cancel: (() => void) | undefined

  async function settle(): Promise<void> {
    if (written === synced) return
    const upTo = written
    await sync()
    synced = Math.max(synced, upTo)
  }

  function arm(): void {
    cancel ??= clock.after(intervalMs, () => {
      // What is written from here on may miss this sync, and gets the next one.
      cancel = undefined
      settle().catch((error) => {
        log('error', 'changes could not be brought to flash; it is tried again', { cause: reasonOf(error) })
        arm()
      })
    })
  }

  return {
    wrote() {
      written += 1
      arm()
    },
    settle,
    stop: () => cancel?.(),
  }
}
