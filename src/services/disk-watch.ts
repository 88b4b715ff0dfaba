import type { Clock } from '../core/clock.ts'
import type { Store } from '../core/storage.ts'

/** Others fill the disk too; what the store itself writes is measured besides. */
const everyMs = 30_000

/** Looks at the room of the disk now and then. @returns a function that stops it */
export function startDiskWatch({ store, clock }: { store: Pick<Store, 'disk'>; clock: Clock }): () => void {
  let cancel: (() => void) | undefined
  let stopped = false
  const look = async (): Promise<void> => {
    await store.disk.check()
    if (!stopped) cancel = clock.after(everyMs, () => void look())
  }
  void look()
  return () => {
    stopped = true
    cancel?.()
  }
}
