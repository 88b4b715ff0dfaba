import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { reasonOf } from './refusal.ts'

/** Brings changes to flash that were acknowledged before. */
export interface IntervalSync {
  /** A change was written that has to be on flash one interval from now. */
  wrote(): void
  /**
   * Resolves when all of them are on flash; at once when they are. Once it has failed it goes on failing.
   * @throws the error of the disk
   */
  settle(): Promise<void>
  /** The database was opened again: what was in its log is in a table, on flash. */
  renewed(): void
  stop(): void
}

/**
 * One sync serves everything that was written in an interval. LevelDB has no sync of its own: a synced batch reaches only
 * the log file to which it is appended, and LevelDB may have begun a new one since. So a synced group settles what is
 * open first; otherwise a power cut could keep the later change and lose the earlier one that it builds on. After a sync
 * that failed the kernel takes what it could not write for written: the next one would succeed, and say nothing.
 * @param parts `sync` puts everything written so far on flash; `failed` has the database opened again, which writes its log
 * anew
 */
export function createIntervalSync(parts: {
  readonly sync: () => Promise<void>
  readonly failed: (cause: unknown) => void
  readonly intervalMs: number
  readonly clock: Clock
  readonly log: Log
}): IntervalSync {
  const { sync, failed, intervalMs, clock, log } = parts
  let written = 0
  let synced = 0
  let cancel: (() => void) | undefined
  let failure: { cause: unknown } | undefined

  async function settle(): Promise<void> {
    if (failure === undefined && written === synced) return
    const upTo = written
    if (failure === undefined) {
      await sync().catch((cause: unknown) => {
        failure ??= { cause }
      })
    }
    if (failure !== undefined) throw failure.cause
    synced = Math.max(synced, upTo)
  }

  function arm(): void {
    cancel ??= clock.after(intervalMs, () => {
      // What is written from here on may miss this sync, and gets the next one.
      cancel = undefined
      settle().catch((error) => {
        log('error', 'changes could not be brought to flash; they are written again', { cause: reasonOf(error) })
        failed(error)
      })
    })
  }

  return {
    wrote() {
      written += 1
      arm()
    },
    settle,
    renewed() {
      failure = undefined
      synced = written
    },
    stop: () => cancel?.(),
  }
}
