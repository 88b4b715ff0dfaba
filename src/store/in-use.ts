import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from './level.ts'

const isLocked = (error: unknown): boolean =>
  error instanceof Error && (('code' in error && error.code === 'LEVEL_LOCKED') || isLocked(error.cause))

/** Whether some process has the database of a store open. A folder without one is left as it is. */
export const isTaken = (folder: string): Promise<boolean> =>
  access(join(folder, 'CURRENT')).then(
    () => isInUse(folder),
    () => false,
  )

/**
 * Whether some process has the LevelDB in a folder open. A database that is there is not opened: LevelDB takes its lock
 * first, and then refuses because it exists.
 */
export async function isInUse(folder: string): Promise<boolean> {
  const database = new Level(folder)
  try {
    await database.open({ createIfMissing: false, errorIfExists: true })
    await database.close()
    return false
  } catch (error) {
    return isLocked(error)
  }
}
