import { parseAtKey } from '../../src/core/at-key.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { Transaction } from '../../src/core/storage.ts'
import { saveSnapshot } from '../../src/store/snapshot-files.ts'
import { openStore } from '../../src/store/store.ts'

// A process that writes until it is killed: eight writers, each counting up. One change of a writer sets the same number
// in two records and in a notification. Every acknowledged change is one line on standard output. With a third argument it
// also makes snapshots in that folder, one after another.

const [directory = '', offset = '0', snapshots] = process.argv.slice(2)
const store = await openStore({ directory, atSign: '@alice', clock: systemClock })

async function change(tx: Transaction, writer: number, number: number): Promise<void> {
  const record = { value: `${number}`.padEnd(200, '.'), metadata: { version: number } }
  for (const half of ['a', 'b']) {
    await tx.putRecord(parseAtKey(`w${writer}.${half}@alice`), record, { operation: '*', opTime: number, commit: true })
  }
  await tx.enqueue({
    ...{ id: `w${writer}`, from: '@alice', to: '@bob', key: '@bob:x@alice', value: record.value, operation: 'update' },
    ...{ messageType: 'key', type: 'sent', priority: 'low', strategy: 'all', latestN: 1, notifier: 'x', at: number },
    ...{ expiresAt: number + 1_000_000_000, status: 'queued', isEncrypted: false, metadata: {} },
  })
}

async function count(writer: number): Promise<never> {
  for (let number = Number(offset); ; number += 1) {
    await store.write((tx) => change(tx, writer, number))
    process.stdout.write(`${writer} ${number}\n`)
  }
}

async function copy(folder: string): Promise<never> {
  for (;;) await saveSnapshot(folder, store.snapshot(), { keep: 3 })
}

const tasks = [0, 1, 2, 3, 4, 5, 6, 7].map(count)
await Promise.all(snapshots === undefined ? tasks : [...tasks, copy(snapshots)])
