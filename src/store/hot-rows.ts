import { type Cache, createCache } from '../core/cache.ts'
import type { Database } from './database.ts'
import { notificationLog } from './holdings.ts'
import { createKnownNames } from './known-names.ts'
import { type NotificationState, type Table, tables } from './layout.ts'

/** Small rows besides the records that are asked for again soon after they were written, or that are surely not there. */
export interface HotRows {
  /** The row, from memory if possible. @param read asks the database */
  get<Row>(table: Table<Row>, key: string, read: () => Row | undefined): Row | undefined
  /** A row was written, or removed. */
  set(table: Table<unknown>, key: string, row: unknown): void
  /** Forgets everything. */
  clear(): void
}

/** What is under way at one time, several times over. */
const stateBytes = 128 * 1024
/** Of a few hundred peers. */
const holdingBytes = 64 * 1024
/** Of a row besides its key. */
const rowBytes = 250

const cacheOf = (bytes: number): Cache<unknown> => createCache(bytes, (key) => rowBytes + key.length)

/** Makes the hot rows of one store. */
export function createHotRows(
  database: Pick<Database, 'keys'>,
  holdings: Parameters<typeof notificationLog>[0],
): HotRows {
  const { prefix } = tables.notificationStates
  const states: Table<NotificationState> = tables.notificationStates
  const caches = new Map<Table<unknown>, Cache<unknown>>([
    [states, cacheOf(stateBytes)],
    [tables.holdings, cacheOf(holdingBytes)],
  ])
  async function* names(): AsyncGenerator<string> {
    for await (const key of database.keys({ prefix })) yield key.slice(prefix.length)
  }
  const known = createKnownNames({ names, count: () => notificationLog(holdings).count })

  return {
    get<Row>(table: Table<Row>, key: string, read: () => Row | undefined) {
      const which: Table<unknown> = table
      const cache = caches.get(which)
      if (cache === undefined) return read()
      const hit = cache.get(key)
      if (hit !== undefined) return hit.value as Row | undefined
      if (which === states && known.isAbsent(key)) return undefined
      const row = read()
      if (row !== undefined) cache.set(key, row)
      else if (which === states) known.missed()
      return row
    },
    set(table, key, row) {
      caches.get(table)?.set(key, row)
      if (table === states && row !== undefined) known.add(key)
    },
    clear() {
      for (const cache of caches.values()) cache.clear()
      known.forget()
    },
  }
}
