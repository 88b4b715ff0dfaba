import { type Cache, createCache } from '../core/cache.ts'
import { AtError } from '../core/errors.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Database, Operation, Range, Snapshot } from './database.ts'
import type { Losses } from './health.ts'
import { createHotRows } from './hot-rows.ts'
import { commitKey, fromSortable, gapKey, sortable, type Table, tables, withdrawnKey } from './layout.ts'
import { readOutbox } from './outbox-index.ts'
import { reasonOf } from './refusal.ts'
import { unseal } from './seal.ts'

/** A row as a change leaves it: undefined when it is gone. */
export interface Cell {
  readonly table: Table<unknown>
  readonly key: string
  readonly row: unknown
}

/** Which rows to visit; keys are without the prefix of the table. */
export type Rows = Omit<Range, 'prefix'> & { readonly start?: string }

/** The committed state: the database, a cache of hot records and a few numbers. */
export interface Committed {
  /** @throws AtError AT0002 when the row is damaged, or the store closed */
  get<Row>(table: Table<Row>, key: string, snapshot?: Snapshot): Row | undefined
  /** Rows of a table by key (without prefix). Damaged ones are reported and left out. */
  rows<Row>(table: Table<Row>, range?: Rows): AsyncGenerator<readonly [key: string, row: Row]>
  /** A row for which damage is the same as absence. It is reported all the same. */
  tryGet<Row>(table: Table<Row>, key: string, snapshot?: Snapshot): Row | undefined
  /** A row as the database has it; undefined when it is damaged, which is reported. */
  peek<Row>(table: Table<Row>, key: string): Row | undefined
  /** The row in some bytes; undefined when they are damaged, which is reported. */
  decode<Row>(table: Table<Row>, key: string, stored: Uint8Array): Row | undefined
  /** Numbers of `tables.memory`, by key. */
  readonly memory: ReadonlyMap<string, number>
  /** Takes over what a batch has written. */
  promote(cells: Iterable<Cell>): void
  /**
   * Forgets everything in memory and reads the numbers from the database again.
   * @param isForgetful commit ids may have been issued that the database does not know
   */
  load(isForgetful?: boolean): Promise<void>
  /**
   * Whether commit ids may have been issued that the database does not know.
   * @returns the highest one that was issued for sure, -1 for none; undefined when the database knows all
   */
  forgotten(): number | undefined
  /** A gap in the commit ids that covers all of them is on flash. */
  remember(): void
  /** Forgets the hot records and rows. */
  forget(): void
  /** Another number than before once a record may have changed. */
  version(): number
}

const recordBytes = (key: string, record: StoredRecord | undefined): number => {
  let bytes = 64 + 2 * key.length
  if (record === undefined) return bytes
  bytes += 400 + (record.value?.length ?? 0)
  for (const member of Object.values(record.metadata)) if (typeof member === 'string') bytes += member.length
  return bytes
}

/** What the committed state is made from. */
export interface CommittedParts {
  readonly database: Database
  readonly losses: Losses
  /** Bytes of decoded records kept in memory. */
  readonly cacheBytes: number
  /** Sees the bytes of every damaged row that is met. */
  readonly onDamage?: (full: string, bytes: Uint8Array) => void
}

/** Makes the committed state; `load` fills it. */
export function createCommitted({ database, losses, onDamage, ...parts }: CommittedParts): Committed {
  const cache: Cache<StoredRecord> = createCache(parts.cacheBytes, recordBytes)
  const memory = new Map<string, number>()
  const latest = new Map<string, readonly string[]>()
  /** Tables that are never stored. */
  const unstored = new Map<Table<unknown>, Map<string, unknown>>([
    [tables.memory, memory],
    [tables.latest, latest],
  ])
  const hot = createHotRows(database, { tryGet: (table, key) => tolerant(() => get(table, key)) })
  let forgetful = false
  let highest = -1
  let version = 0

  function report(table: Table<unknown>, key: string, cause: string, commitId?: number): AtError {
    losses.found({ what: table.noun, key, cause, ...(commitId === undefined ? {} : { commitId }) })
    return new AtError('AT0002', `${table.noun} ${key} is damaged`, { closes: false })
  }

  function decode<Row>(table: Table<Row>, key: string, stored: Uint8Array): Row {
    const json = unseal(table.prefix + key, stored)
    if (json === undefined) {
      onDamage?.(table.prefix + key, stored)
      throw report(table, key, 'its checksum does not match')
    }
    return table.unpack(JSON.parse(json), key)
  }

  function read<Row>(table: Table<Row>, key: string, snapshot?: Snapshot): Row | undefined {
    let stored: Uint8Array | undefined
    try {
      stored = database.get(table.prefix + key, snapshot)
    } catch (cause) {
      if (!database.isOpen()) throw new AtError('AT0002', 'the store is not open', { cause })
      throw report(table, key, reasonOf(cause))
    }
    return stored === undefined ? undefined : decode(table, key, stored)
  }

  /** Whether the log holds the very change that a record says it comes from. */
  function isLogged(key: string, { commitId }: StoredRecord): boolean {
    if (commitId === -1) return true
    try {
      return read(tables.commits, sortable(commitId))?.key === key
    } catch {
      return true
    }
  }

  /**
   * A record as its latest change left it. A bit that flips in a key, where no checksum of LevelDB is looked at, can
   * uncover the version before: that one's commit entry is gone.
   */
  function newest(key: string): StoredRecord | undefined {
    for (let record = read(tables.records, key); ; ) {
      if (record === undefined || isLogged(key, record)) return record
      const again = read(tables.records, key)
      // A change that was written meanwhile has taken its entry away.
      if (again?.commitId === record.commitId) throw report(tables.records, key, 'it is not the version in the log')
      record = again
    }
  }

  function cached(key: string): StoredRecord | undefined {
    const hit = cache.get(key)
    if (hit !== undefined) return hit.value
    const record = newest(key)
    cache.offer(key, record)
    return record
  }

  function get<Row>(table: Table<Row>, key: string, snapshot?: Snapshot): Row | undefined {
    const which: Table<unknown> = table
    const rows = unstored.get(which)
    if (rows !== undefined) return rows.get(key) as Row | undefined
    if (snapshot !== undefined) return read(table, key, snapshot)
    if (which === tables.records) return cached(key) as Row | undefined
    return hot.get(table, key, () => read(table, key))
  }

  /** Without a look into the log, and without a place among the hot records. */
  function hotOrRead<Row>(table: Table<Row>, key: string, snapshot?: Snapshot): Row | undefined {
    const which: Table<unknown> = table
    if (which !== tables.records || snapshot !== undefined) return get(table, key, snapshot)
    return (cache.get(key)?.value as Row | undefined) ?? read(table, key)
  }

  /** Damage, once reported, counts as absence; a closed store does not. */
  function tolerant<T>(task: () => T): T | undefined {
    try {
      return task()
    } catch (error) {
      if (database.isOpen()) return undefined
      throw error
    }
  }

  async function* rows<Row>(table: Table<Row>, { start = '', gt, lt, ...rest }: Rows = {}) {
    await database.ready()
    const range = {
      ...rest,
      ...(gt === undefined ? {} : { gt: table.prefix + gt }),
      ...(lt === undefined ? {} : { lt: table.prefix + lt }),
      prefix: table.prefix + start,
    }
    let last = range.prefix
    try {
      for await (const [full, stored] of database.scan(range)) {
        last = full
        const key = full.slice(table.prefix.length)
        const row = tolerant(() => decode(table, key, stored))
        if (row !== undefined) yield [key, row] as const
      }
    } catch (error) {
      if (!database.isOpen()) throw error
      // The database has given what it can read.
      report(table, `${last.slice(table.prefix.length)} and others`, reasonOf(error))
    }
  }

  /** The highest id that is known: the persisted mark, or the newest entry should the mark be damaged. */
  async function loadCommit(): Promise<number> {
    const mark = tolerant(() => read(tables.meta, commitKey)) ?? -1
    let newestEntry = -1
    try {
      for await (const key of database.keys({ prefix: tables.commits.prefix, reverse: true, limit: 1 })) {
        newestEntry = fromSortable(key.slice(tables.commits.prefix.length))
      }
    } catch (error) {
      if (!database.isOpen()) throw error
      forgetful = true
      report(tables.commits, 'the newest', reasonOf(error))
    }
    // Each entry is written together with its mark.
    if (newestEntry > mark) {
      forgetful = true
      losses.found({ what: tables.meta.noun, key: commitKey, cause: 'it is lower than the newest commit id' })
    }
    return Math.max(mark, newestEntry)
  }

  /** Where the latest gap in the commit ids ends. */
  async function loadGap(): Promise<number> {
    for await (const [, end] of rows(tables.gaps, { reverse: true, limit: 1 })) return end
    return -1
  }

  /** Counts what waits for whom, and drops entries that a power cut or damage has parted from their notification. */
  async function loadOutbox(numbers: Map<string, number>): Promise<void> {
    const stateOf = (ref: string) => tolerant(() => read(tables.notificationStates, ref))
    const { lists, strays } = await readOutbox(rows(tables.outbox), stateOf, numbers)
    latest.clear()
    for (const [key, refs] of lists) latest.set(key, refs)
    const stray = strays.map((key): Operation => ({ key: tables.outbox.prefix + key, value: undefined }))
    if (stray.length > 0 && database.readOnly() === undefined) await database.batch(stray, false)
  }

  return {
    get,
    tryGet: (table, key, snapshot) => tolerant(() => hotOrRead(table, key, snapshot)),
    peek: (table, key) => tolerant(() => read(table, key)),
    rows,
    decode: (table, key, stored) => tolerant(() => decode(table, key, stored)),
    memory,
    promote(cells) {
      for (const { table, key, row } of cells) {
        const rows = unstored.get(table)
        if (table === tables.records) {
          version += 1
          cache.set(key, row as StoredRecord | undefined)
        } else if (rows === undefined) hot.set(table, key, row)
        else if (row === undefined) rows.delete(key)
        else rows.set(key, row)
      }
    },
    async load(isForgetful = false) {
      forgetful ||= isForgetful
      highest = Math.max(highest, memory.get(commitKey) ?? -1)
      const commit = await loadCommit()
      if (commit < highest) {
        forgetful = true
        const key = `${commit + 1} to ${highest}`
        losses.found({ what: 'changes', key, cause: 'they were gone when the database was opened again' })
      }
      const numbers = new Map([
        [commitKey, commit],
        [gapKey, await loadGap()],
        // Nothing that was read before is known any more.
        [withdrawnKey, (memory.get(withdrawnKey) ?? 0) + 1],
      ])
      await loadOutbox(numbers)
      version += 1
      cache.clear()
      hot.clear()
      memory.clear()
      for (const [key, number] of numbers) memory.set(key, number)
    },
    forgotten: () => (forgetful ? highest : undefined),
    remember() {
      forgetful = false
      highest = -1
    },
    forget() {
      version += 1
      cache.clear()
      hot.clear()
    },
    version: () => version,
  }
}
