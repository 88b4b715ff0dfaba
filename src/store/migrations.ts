import type { Log } from '../core/log.ts'
import type { Database } from './database.ts'
import { nameNotifications } from './migrate-notifications.ts'

/** One step of the format. It may be cut off by a power cut and then runs again from the start. */
export interface Migration {
  /** Format after the step, one more than before. */
  readonly to: number
  run(database: Database): Promise<void>
}

/** Every step since format 1, ascending. */
export const migrations: readonly Migration[] = [{ to: 2, run: nameNotifications }]

/**
 * Runs the steps after `from`, and records each before the next begins.
 * @param reached stores the format that the database has now
 */
export async function migrate(
  database: Database,
  from: number,
  options: { migrations: readonly Migration[]; log: Log },
  reached: (format: number) => Promise<void>,
): Promise<void> {
  for (const migration of options.migrations) {
    if (migration.to <= from) continue
    options.log('info', 'the store moves to a newer format', { format: migration.to })
    await migration.run(database)
    // The mark goes to the newest log, and must not outlive what lies in an older one.
    await database.syncLog()
    await reached(migration.to)
  }
}
