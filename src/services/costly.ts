import { type Clock, elapsed } from '../core/clock.ts'

/** What is found faster is found anew each time. */
const cheapMs = 100
/** An answer is given again for so many times as long as it took: finding it then takes a twentieth of the time at most. */
const rest = 20

/**
 * Finds something that takes long, for everybody who asks meanwhile at once, and gives the answer again for a time that
 * grows with what it took. Nobody's leaving ends it, so that one who asks again has it sooner.
 */
export function createCostly<T>(clock: Clock, find: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  let known: { readonly answer: T; readonly until: number } | undefined

  const begin = async (): Promise<T> => {
    const startedAt = elapsed(clock)
    known = undefined
    try {
      const answer = await find()
      const took = elapsed(clock) - startedAt
      if (took > cheapMs) known = { answer, until: elapsed(clock) + rest * took }
      return answer
    } finally {
      running = undefined
    }
  }

  return async () => {
    if (known !== undefined && elapsed(clock) < known.until) return known.answer
    running ??= begin()
    return running
  }
}
