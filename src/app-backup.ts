import type { Clock } from './core/clock.ts'
import { limits } from './core/limits.ts'
import type { ControlCommand } from './server/control.ts'
import type { SnapshotSource } from './services/snapshots.ts'

/** Fails when a task is not over in time: what has been deleted meanwhile stays on disk as long as a snapshot is read. */
async function within(ms: number, clock: Clock, task: Promise<void>): Promise<void> {
  let cancel = (): void => {}
  const late = new Promise<never>((_resolve, reject) => {
    cancel = clock.after(ms, () => reject(new Error(`nobody took anything of the backup for ${ms / 60_000} minutes`)))
  })
  try {
    await Promise.race([task, late])
  } finally {
    cancel()
  }
}

/**
 * The control command that streams the rows of the store: a snapshot, as it lies on flash. Sealing it is the work of
 * `atedge backup`, which also adds configuration and keys with its own user's rights: so no passphrase comes this way, and
 * the members of the socket's group get no file that they could not read anyway.
 */
export const streamStore =
  (store: SnapshotSource, clock: Clock): ControlCommand =>
  async (_args, { data, progress }) => {
    // An estimate: LevelDB compresses in its own way, and holds what was replaced until it compacts.
    const total = await store.size()
    let done = 0
    for await (const chunk of store.snapshot()) {
      await within(limits.backupStallMs, clock, data(chunk))
      done += chunk.byteLength
      progress({ done: Math.min(done, total), total, step: 'reading the store' })
    }
    return { bytes: done }
  }
