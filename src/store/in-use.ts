import { Level } from 'level'

const isLocked = (error: unknown): boolean =>
  error instanceof Error && (('code' in error && error.code === 'LEVEL_LOCKED') || isLocked(error.cause))

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
