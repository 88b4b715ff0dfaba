import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Store } from '../core/storage.ts'

/** Others fill the disk too; what the store itself writes is measured besides. */
const everyMs = 30_000

/** Looks at the room of the disk, and of the notifications, now and then. @returns a function that stops it */
export function startDiskWatch(options: { store: Pick<Store, 'disk' | 'retain'>; clock: Clock; log: Log }): () => void {
  const { store, clock, log } = options
  let cancel: (() => void) | undefined
  let stopped = false
  const drop = async (): Promise<void> => {
    try {
      const dropped = await store.retain(clock.now())
      if (dropped > 0) log('info', 'notifications beyond what is kept were dropped, the oldest first', { dropped })
    } catch (error) {
      if (!stopped) log('error', 'notifications beyond what is kept could not be dropped', { error })
    }
  }
  const look = async (): Promise<void> => {
    await store.disk.check()
    await drop()
    if (!stopped) cancel = clock.after(everyMs, () => void look())
  }
  void look()
  return () => {
    stopped = true
    cancel?.()
  }
}
