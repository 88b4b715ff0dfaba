import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Store } from '../core/storage.ts'

/** Expired records are hidden at once; their bytes go within these bounds (page 07, section 5). */
const soonestMs = 10_000
const latestMs = 600_000

/** Sleeps until the next expiry in the store's index, then removes what has expired. @returns a function that stops it */
export function startSweep(options: { store: Store; clock: Clock; log: Log }): () => void {
  const { store, clock, log } = options
  let stopped = false
  let cancel: (() => void) | undefined

  const sleep = async (): Promise<void> => {
    const next = await store.nextExpiry()
    if (stopped) return
    const wait = next === undefined ? latestMs : next - clock.now()
    cancel = clock.after(Math.min(Math.max(wait, soonestMs), latestMs), () => void round())
  }

  const round = async (): Promise<void> => {
    try {
      const removed = await store.sweep(clock.now())
      if (removed > 0) log('debug', 'expired entries removed', { removed })
      await sleep()
    } catch (error) {
      if (stopped) return
      log('error', 'the expiry sweep failed and is tried again', { error })
      cancel = clock.after(latestMs, () => void round())
    }
  }

  void round()
  return () => {
    stopped = true
    cancel?.()
  }
}
