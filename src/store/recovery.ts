import { type Clock, elapsed } from '../core/clock.ts'

/** Each opening of LevelDB writes up to 300 KB: a broken disk must not be worn out by attempts. */
const recoveryPauseMs = { first: 1_000, longest: 60_000 }

/**
 * Reopens a database after a failed batch, after a pause that grows while that fails.
 * @param again is run when the pause is over: nobody may come to change anything, and reads wait as well
 */
export function createRecovery(reopen: () => Promise<void>, again: () => void, clock: Clock): () => Promise<void> {
  let failure: { until: number; pause: number; cause: unknown } | undefined
  return async () => {
    if (failure !== undefined && elapsed(clock) < failure.until) throw failure.cause
    try {
      await reopen()
      failure = undefined
    } catch (cause) {
      const pause = Math.min(failure === undefined ? recoveryPauseMs.first : failure.pause * 2, recoveryPauseMs.longest)
      failure = { until: elapsed(clock) + pause, pause, cause }
      clock.after(pause, again)
      throw cause
    }
  }
}
