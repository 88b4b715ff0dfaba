import { createCache } from '../core/cache.ts'
import type { Holding } from '../core/storage.ts'
import type { Database } from './database.ts'
import { notificationLog } from './holdings.ts'
import { createKnownNames } from './known-names.ts'
import { type NotificationState, type Table, tables } from './layout.ts'

/** Rows besides the records that are asked for all the time: small ones that are there, and those that are surely not. */
export interface HotRows {
  /** The row, from memory if possible. @param read asks the database */
  get<Row>(table: Table<Row>, key: string, read: () => Row | undefined): Row | undefined
  /** A row was written, or removed. */
  set(table: Table<unknown>, key: string, row: unknown): void
  /** Forgets everything. */
  clear(): void
}

/** Of a few hundred peers. */
const cacheBytes = 64 * 1024
/** Of a row besides its key. */
const rowBytes = 250

/** Makes the hot rows of one store: what is held of others, and whether a notification is there. */
export function createHotRows(
  database: Pick<Database, 'keys'>,
  reader: Parameters<typeof notificationLog>[0],
): HotRows {
  const { prefix } = tables.notificationStates
  const states: Table<NotificationState> = tables.notificationStates
  const holdings = createCache<Holding>(cacheBytes, (key) => rowBytes + key.length)
  async function* names(): AsyncGenerator<string> {
    for await (const key of database.keys({ prefix })) yield key.slice(prefix.length)
  }
  const known = createKnownNames({ names, count: () => notificationLog(reader).count })

  function holding(key: string, read: () => Holding | undefined): Holding | undefined {
    const hit = holdings.get(key)
    if (hit !== undefined) return hit.value
    const row = read()
    if (row !== undefined) holdings.set(key, row)
    return row
  }

  function state<Row>(key: string, read: () => Row | undefined): Row | undefined {
    if (known.isAbsent(key)) return undefined
    const row = read()
    if (row === undefined) known.missed()
    return row
  }

  return {
    get<Row>(table: Table<Row>, key: string, read: () => Row | undefined) {
      const which: Table<unknown> = table
      if (which === tables.holdings) return holding(key, read as () => Holding | undefined) as Row | undefined
      return which === states ? state(key, read) : read()
    },
    set(table, key, row) {
      if (table === tables.holdings) holdings.set(key, row as Holding | undefined)
      if (table === states && row !== undefined) known.add(key)
    },
    clear() {
      holdings.clear()
      known.forget()
    },
  }
}
