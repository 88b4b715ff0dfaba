import { open, readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { AtError } from '../core/errors.ts'
import { after } from './layout.ts'
import { Level } from './level.ts'
import { watchLogEnd } from './log-end.ts'
import { reasonOf } from './refusal.ts'

/** One put, or one delete when there is no value. Keys are full, with the prefix of their table. */
export interface Operation {
  readonly key: string
  readonly value: Uint8Array | undefined
}

/** The database at one moment, for several reads that must agree. Close it. */
export type Snapshot = ReturnType<Level<string, Uint8Array>['snapshot']>

/** Which entries to visit, ascending unless `reverse`. */
export interface Range {
  /** Only keys that start with it. */
  readonly prefix: string
  /** Only keys after it (full keys). */
  readonly gt?: string
  /** Only keys before it (full keys). */
  readonly lt?: string
  readonly reverse?: boolean
  readonly limit?: number
  readonly snapshot?: Snapshot
}

/** LevelDB, reduced to what the store needs. Bytes in, bytes out. */
export interface Database {
  /** Blocks the thread for about 3 µs, or for one read of the flash; a trip through the thread pool costs 50 µs. */
  get(key: string, snapshot?: Snapshot): Uint8Array | undefined
  /** @throws AtError AT0002 behind the last entry when some in between cannot be read; all others were given */
  scan(range: Range): AsyncGenerator<readonly [key: string, value: Uint8Array]>
  /** The same without values. */
  keys(range: Range): AsyncGenerator<string>
  snapshot(): Snapshot
  /** All or nothing; with `sync` on flash when it resolves. */
  batch(operations: readonly Operation[], sync: boolean): Promise<void>
  /** Resolves at once unless the database is being reopened. */
  ready(): Promise<void> | undefined
  /** Whether LevelDB may begin a new log with the next batch; it does not sync the one before. */
  isLogEnding(): Promise<boolean>
  /** Puts every batch that was written so far on flash, and writes nothing itself. @throws the error of the disk */
  syncLog(): Promise<void>
  isOpen(): boolean
  /** Why it takes no batches; undefined when it does. */
  readOnly(): string | undefined
  /** Bytes of its files. */
  size(): Promise<number>
  /** Bytes of tables that were written since it was opened, to the MiB. */
  tablesWritten(): number
  /** Writes tables anew without what was removed from them. Nothing is done where the disk has no room for that. */
  compact(): Promise<void>
  close(): Promise<void>
}

const settings = {
  keyEncoding: 'utf8',
  valueEncoding: 'buffer',
  // Blocks taken out of their compression. What is hot is kept decoded elsewhere, and of what is cold no cache holds much.
  cacheSize: 512 * 1024,
  // A table costs an open file and 20 KiB of memory. To open one anew for a read takes five times as long as the read.
  maxOpenFiles: 256,
  // Twice LevelDB's own: what it keeps of an open table to find its blocks is half as much, and reads are as fast.
  blockSize: 8 * 1024,
} as const

/**
 * What LevelDB keeps in memory, and in its log, before it writes it as a table. With half as much a reading costs half as
 * many bytes again: small tables are merged more often. With twice as much, changes wait longer for each table to be synced.
 */
const usualMemtableBytes = 4 * 1024 * 1024

/** Of a memtable: with so little in the log the next start reads it in a millisecond. */
const shortLogShare = 1 / 64

/** LevelDB compacts a few tables at a time, and removes them when it has written what is left of them. */
const compactionBytes = 4 * 1024 * 1024 + usualMemtableBytes

/** The last of the six columns that LevelDB prints for each level: MiB written. */
function writtenIn(stats: string): number {
  const rows = stats.matchAll(/^ *\d+ +\d+ +\d+ +\d+ +\d+ +(\d+)$/gm)
  return [...rows].reduce((sum, [, written]) => sum + Number(written), 0) * 1_048_576
}

/** What a reopening may write: two logs as tables, and a manifest. */
const reopenBytes = 4 * 1024 * 1024 + 2 * usualMemtableBytes

/** Entries fetched in one trip through the thread pool; classic-level cuts at 16 KiB as well. */
const chunk = 256

const bounds = ({ prefix, gt, lt, reverse, limit, snapshot }: Range) => ({
  ...(gt === undefined ? { gte: prefix } : { gt }),
  lt: lt ?? prefix + after,
  reverse: reverse ?? false,
  limit: limit ?? -1,
  ...(snapshot === undefined ? {} : { snapshot }),
})

const failure = (cause: unknown): AtError =>
  new AtError('AT0002', `the store could not be read: ${reasonOf(cause)}`, { closes: false, cause })

interface Chunks<T> {
  nextv(size: number): Promise<T[]>
  close(): Promise<void>
}

/** Rows in chunks of a size, and at the end the error that LevelDB met on the way. */
async function* chunks<T>(iterator: Chunks<T>, size: number): AsyncGenerator<T> {
  try {
    for (let rows = await iterator.nextv(size); rows.length > 0; rows = await iterator.nextv(size)) yield* rows
  } finally {
    await iterator.close()
  }
}

/**
 * LevelDB steps over a block that it cannot read and says so at the end, and the last chunk is not handed out then: it
 * is fetched one by one.
 */
async function* each<T>(open: (range: Range) => Chunks<T>, range: Range, keyOf: (row: T) => string): AsyncGenerator<T> {
  const limit = range.limit ?? Number.POSITIVE_INFINITY
  let seen = 0
  let last: string | undefined
  for (const size of [chunk, 1]) {
    try {
      const behind = last === undefined ? {} : range.reverse ? { lt: last } : { gt: last }
      const rest = limit === Number.POSITIVE_INFINITY ? {} : { limit: limit - seen }
      for await (const row of chunks(open({ ...range, ...behind, ...rest }), size)) {
        seen += 1
        last = keyOf(row)
        yield row
      }
      return
    } catch (cause) {
      if (size === 1 || seen >= limit) throw cause instanceof AtError ? cause : failure(cause)
    }
  }
}

async function bytesOf(directory: string): Promise<number> {
  const names = await readdir(directory)
  // LevelDB removes tables at any time: one that has just gone has no size.
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(directory, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** In ascending order. */
async function logsIn(directory: string): Promise<string[]> {
  const logs = (await readdir(directory)).filter((name) => name.endsWith('.log'))
  return logs.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
}

/** Of the log that LevelDB appends to: what is in its memtable as well. */
async function newestLogBytes(directory: string): Promise<number> {
  const newest = (await logsIn(directory)).at(-1)
  return newest === undefined ? 0 : (await stat(join(directory, newest))).size
}

/** The oldest first: what builds on it is in later ones. A log that has just gone is in a table by now, which LevelDB has synced. */
async function syncLogs(directory: string): Promise<void> {
  for (const name of await logsIn(directory)) {
    const file = await open(join(directory, name), 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    try {
      await file?.datasync()
    } finally {
      await file?.close()
    }
  }
}

async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

/** @throws Error when the disk has no room for opening a database once more: what is open is better left open then */
export async function assertSpace(directory: string): Promise<void> {
  if ((await freeBytes(directory)) < reopenBytes) throw new Error('no space left on device')
}

/** Of classic-level; the types of `level` show only what browsers have too. */
const compactRange: (from: string, to: string) => Promise<void> = Reflect.get(Level.prototype, 'compactRange')
const getProperty: (name: string) => string = Reflect.get(Level.prototype, 'getProperty')
const repair: (directory: string) => Promise<void> = Reflect.get(Level, 'repair')

/** Rebuilds the list of tables from what can be read of them. Leaves what it replaces in the folder `lost`. */
export const repairDatabase = (directory: string): Promise<void> => repair.call(Level, directory)

/** How to open LevelDB. */
export interface DatabaseOptions {
  /** Makes a new database where there is none. */
  readonly create: boolean
  /** Bytes of changes that LevelDB gathers before it writes a table; 4 MiB unless told. */
  readonly memtableBytes?: number | undefined
}

/**
 * Opens LevelDB in a directory.
 * @throws the error of classic-level, with its code in `cause.code` (LEVEL_LOCKED, LEVEL_CORRUPTION, …)
 */
export async function openDatabase(directory: string, options: DatabaseOptions): Promise<Database> {
  const { create, memtableBytes = usualMemtableBytes } = options
  const db = new Level<string, Uint8Array>(directory, { ...settings, writeBufferSize: memtableBytes })
  await db.open({ createIfMissing: create })
  const logEnd = watchLogEnd(directory, memtableBytes)

  /** Has LevelDB write its memtable as a table, and merge what lies in a range of keys. */
  async function compactRangeOf(from: string, to: string): Promise<void> {
    if ((await freeBytes(directory)) < compactionBytes) return
    const done = logEnd.emptying()
    await compactRange.call(db, from, to).finally(done)
  }

  /** Writes the memtable as a table if it holds more. No key lies behind the last prefix, so nothing is merged. */
  async function emptyFrom(bytes: number): Promise<void> {
    if ((await newestLogBytes(directory)) > bytes) await compactRangeOf(after, after)
  }

  return {
    get(key, snapshot) {
      return snapshot === undefined ? db.getSync(key) : db.getSync(key, { snapshot })
    },
    scan: (range) =>
      each<[string, Uint8Array]>(
        (part) => db.iterator(bounds(part)),
        range,
        ([key]) => key,
      ),
    keys: (range) =>
      each<string>(
        (part) => db.keys(bounds(part)),
        range,
        (key) => key,
      ),
    snapshot: () => db.snapshot(),
    async batch(operations, sync) {
      // Twice as fast as an array of operations, which abstract-level copies one by one.
      const batch = db.batch()
      for (const { key, value } of operations) {
        if (value === undefined) batch.del(key)
        else batch.put(key, value)
      }
      logEnd.wrote(operations)
      await batch.write({ sync })
    },
    ready: () => undefined,
    isLogEnding: () => logEnd.isNear(),
    syncLog: () => syncLogs(directory),
    isOpen: () => db.status === 'open',
    readOnly: () => undefined,
    size: () => bytesOf(directory),
    tablesWritten: () => (db.status === 'open' ? writtenIn(getProperty.call(db, 'leveldb.stats')) : 0),
    compact: () => compactRangeOf('', after),
    async close() {
      // What is in the log now the next start would write as a table, before anything else.
      if (db.status === 'open') await emptyFrom(shortLogShare * memtableBytes).catch(() => undefined)
      await db.close()
    },
  }
}
