import type { ControlCommand } from './server/control.ts'
import type { SnapshotSource } from './services/snapshots.ts'

/**
 * The control command that streams the rows of the store: a snapshot, as it lies on flash. Sealing it is the work of
 * `atedge backup`, which also adds configuration and keys with its own user's rights: so no passphrase comes this way, and
 * the members of the socket's group get no file that they could not read anyway.
 */
export const streamStore =
  (store: SnapshotSource): ControlCommand =>
  async (_args, { data, progress }) => {
    // An estimate: LevelDB compresses, and holds what was replaced until it compacts.
    const total = await store.size()
    let done = 0
    for await (const chunk of store.snapshot()) {
      await data(chunk)
      done += chunk.byteLength
      progress({ done: Math.min(done, total), total, step: 'reading the store' })
    }
    return { bytes: done }
  }
