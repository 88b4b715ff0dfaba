import type { NotificationStatus } from '../core/notification.ts'
import type { Store, Waiting } from '../core/storage.ts'
import type { EphemeralStore } from './ephemeral.ts'

/** Records how notifications ended; resolves when that is written. */
export type Settle = (waiting: Settled, status: NotificationStatus) => Promise<void>

type Settled = Pick<Waiting, 'notification' | 'known'>

/**
 * Writes what ended within one turn as one change. It need not be on flash: after a power cut the recipient recognises
 * what is sent once more.
 */
export function createSettlement(store: Pick<Store, 'write'>, ephemeral: EphemeralStore): Settle {
  let group: (readonly [Settled, NotificationStatus])[] = []
  let written: Promise<void> | undefined

  const write = (): Promise<void> => {
    const ended = group
    group = []
    written = undefined
    return store.write(
      (tx) => {
        for (const [{ notification, known }, status] of ended) tx.settle(notification, status, known)
      },
      { sync: false },
    )
  }

  return (waiting, status) => {
    const { notification } = waiting
    if (notification.ephemeral) {
      ephemeral.settle(notification, status)
      return Promise.resolve()
    }
    group.push([waiting, status])
    written ??= new Promise<void>((resolve) => setImmediate(resolve)).then(write)
    return written
  }
}
