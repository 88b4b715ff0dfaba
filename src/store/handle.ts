import { assertSpace, type Database } from './database.ts'
import type { Climbed } from './ladder.ts'
import { whyUnwritable } from './read-only.ts'

/** A database that can be opened again while others hold it. */
export interface Handle extends Database {
  /**
   * Closes and opens again, by way of the ladder: after a failed write LevelDB refuses all further ones, or appends them
   * behind a torn one, where the next start would not find them. A database for reading only is left for one that can be
   * written.
   * @param corrupt LevelDB says that its files are damaged
   * @returns what became of it; it has to settle before anything is written
   * @throws Error when it is not opened; what can be read goes on being read
   */
  reopen(corrupt: boolean): Promise<Omit<Climbed, 'database'>>
}

/** How to open a database again. */
export interface Again {
  /** Looks through everything. */
  readonly thorough: boolean
  /** It was not closed by the run before. */
  readonly afterCut: boolean
  readonly corrupt: boolean
}

/**
 * @param path folder of the database
 * @param climb opens it, closed before
 */
export function createHandle(first: Database, path: string, climb: (how: Again) => Promise<Climbed>): Handle {
  let now = first
  let reopening: Promise<void> | undefined

  async function exchange(corrupt: boolean): Promise<Omit<Climbed, 'database'>> {
    const before = now
    const wasDown = !before.isOpen()
    if (before.readOnly() !== undefined) {
      const because = await whyUnwritable(path)
      if (because !== undefined) throw new Error(`it was opened for reading only (${because})`)
    } else {
      if (!wasDown) await assertSpace(path)
      await before.close()
    }
    const { database, ...rest } = await climb({ thorough: corrupt || wasDown, afterCut: true, corrupt })
    now = database
    if (before.readOnly() !== undefined) await before.close()
    return rest
  }

  return {
    get: (key, snapshot) => now.get(key, snapshot),
    scan: (range) => now.scan(range),
    keys: (range) => now.keys(range),
    snapshot: () => now.snapshot(),
    batch: (operations, sync) => now.batch(operations, sync),
    ready: () => reopening,
    async reopen(corrupt) {
      const running = exchange(corrupt)
      reopening = running.then(
        () => undefined,
        () => undefined,
      )
      return running.finally(() => {
        reopening = undefined
      })
    },
    isLogEnding: () => now.isLogEnding(),
    syncLog: () => now.syncLog(),
    isOpen: () => now.isOpen(),
    readOnly: () => now.readOnly(),
    size: () => now.size(),
    tablesWritten: () => now.tablesWritten(),
    compact: () => now.compact(),
    close: () => now.close(),
  }
}
