import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { Output } from './output.ts'

/**
 * Resolves when a client has taken everything that is waiting for it.
 * @param onStill called when it takes nothing for `limits.monitorStillMs`; then the promise stays open
 */
export function whenRead(output: Output, clock: Clock, onStill: () => void): Promise<void> {
  return new Promise((resolve) => {
    let cancel = (): void => {}
    const watch = (before: number): void => {
      cancel = clock.after(limits.monitorStillMs, () => {
        if (output.waiting() >= before) onStill()
        else watch(output.waiting())
      })
    }
    watch(output.waiting())
    output.whenFlushed(() => {
      cancel()
      resolve()
    })
  })
}
