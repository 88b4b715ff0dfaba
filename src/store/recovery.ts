import { type Clock, elapsed } from '../core/clock.ts'
import { reasonOf } from './refusal.ts'

/** Each opening of LevelDB writes up to 300 KB: a broken disk must not be worn out by attempts. */
const pauseMs = { first: 1_000, longest: 60_000 }

/** Brings a database back after a failed batch. */
export interface Recovery {
  /** @throws what the latest attempt threw, until the pause behind it is over */
  recover(): Promise<void>
  /** Why the latest attempt failed; undefined when it did not. */
  trouble(): string | undefined
}

/**
 * Reopens a database, after a pause that grows while that fails.
 * @param again is run when the pause is over: nobody may come to change anything, and reads wait as well
 */
export function createRecovery(reopen: () => Promise<void>, again: () => void, clock: Clock): Recovery {
  let failure: { until: number; pause: number; cause: unknown } | undefined
  return {
    async recover() {
      if (failure !== undefined && elapsed(clock) < failure.until) throw failure.cause
      try {
        await reopen()
        failure = undefined
      } catch (cause) {
        const pause = failure === undefined ? pauseMs.first : Math.min(failure.pause * 2, pauseMs.longest)
        failure = { until: elapsed(clock) + pause, pause, cause }
        clock.after(pause, again)
        throw cause
      }
    },
    trouble: () => failure && `it could not be opened again: ${reasonOf(failure.cause)}`,
  }
}
