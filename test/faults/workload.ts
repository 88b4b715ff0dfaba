import { parseAtKey } from '../../src/core/at-key.ts'
import type { Notification } from '../../src/core/notification.ts'
import type { Store, Transaction } from '../../src/core/storage.ts'

// Writers that count. A change of a writer sets its number in two records, or removes both at every fifth, and queues a
// notification with that number; then what was queued three numbers ago is marked as delivered, without a sync of its own.
// So what must be in a store follows from the last number of each writer.

/** How many writers there are. */
export const writers = 6
/** Who sends as many notifications, of which few are kept. */
export const crowd = '@carol'
const kept = { count: 20, bytes: Number.POSITIVE_INFINITY }
const lag = 3
const padding = '.'.repeat(700)

export const isRemoval = (number: number): boolean => number % 5 === 4
export const textOf = (writer: number, number: number): string => `${writer}/${number}${padding}`
export const keysOf = (writer: number): string[] => [`w${writer}.a@alice`, `w${writer}.b@alice`]

const notificationOf = (writer: number, number: number): Notification => ({
  ...{ id: `${writer}-${number}`, from: '@alice', to: '@bob', key: '@bob:x@alice', value: textOf(writer, number) },
  ...{ operation: 'update', messageType: 'key', type: 'sent', priority: 'low', strategy: 'all', latestN: 1 },
  ...{ notifier: 'x', at: number, expiresAt: 4_000_000_000_000, status: 'queued', isEncrypted: false, metadata: {} },
})

const receivedOf = (writer: number, number: number): Notification => ({
  ...notificationOf(writer, number),
  ...{ from: crowd, to: '@alice', key: '@alice:x@carol', value: `${number}`, type: 'received', status: 'delivered' },
})

async function change(tx: Transaction, writer: number, number: number): Promise<void> {
  for (const key of keysOf(writer)) {
    const logged = { opTime: number, commit: true } as const
    const record = { value: textOf(writer, number), metadata: { version: number } }
    if (isRemoval(number)) await tx.removeRecord(parseAtKey(key), { operation: '-', ...logged })
    else await tx.putRecord(parseAtKey(key), record, { operation: '*', ...logged })
  }
  await tx.enqueue(notificationOf(writer, number))
  await tx.putNotification(receivedOf(writer, number))
}

/** Where a writer stands: its latest change, and the latest number that it marked as delivered; -1 for none. */
export interface Place {
  change: number
  delivery: number
}

/** One step of a writer. `acknowledged` is told of each change that is. */
export async function step(
  store: Store,
  writer: number,
  place: Place,
  acknowledged: (what: 'change' | 'delivery', writer: number, number: number) => void,
): Promise<void> {
  place.change += 1
  await store.write((tx) => change(tx, writer, place.change))
  acknowledged('change', writer, place.change)
  if (writer === 0) await store.thinOut(crowd, kept, 4_000_000_000_000)
  while (place.delivery < place.change - lag) {
    place.delivery += 1
    await store.write((tx) => tx.settle(notificationOf(writer, place.delivery), 'delivered'), { sync: false })
    acknowledged('delivery', writer, place.delivery)
  }
}
