import { AtError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { StoredRecord } from '../core/record.ts'
import { type Cache, createCache } from './cache.ts'
import type { Database, Operation, Range, Snapshot } from './database.ts'
import { commitKey, fromOutboxKey, fromSortable, gapKey, queueKey, type Table, tables } from './layout.ts'
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
  /** Numbers of `tables.memory`, by key. */
  readonly memory: ReadonlyMap<string, number>
  /** Takes over what a batch has written. */
  promote(cells: Iterable<Cell>): void
  /** Forgets everything in memory and reads the numbers from the database again. */
  load(): Promise<void>
  /** Forgets the hot records. */
  forget(): void
  /** How many damaged rows were met. */
  damaged(): number
}

/** Damaged rows that are remembered, so that each is reported once. */
const remembered = 1000

const recordBytes = (key: string, record: StoredRecord | undefined): number => {
  let bytes = 64 + 2 * key.length
  if (record === undefined) return bytes
  bytes += 400 + (record.value?.length ?? 0)
  for (const member of Object.values(record.metadata)) if (typeof member === 'string') bytes += member.length
  return bytes
}

/** @param cacheBytes of decoded records kept in memory */
export function createCommitted(database: Database, log: Log, cacheBytes: number): Committed {
  const cache: Cache<StoredRecord> = createCache(cacheBytes, recordBytes)
  const memory = new Map<string, number>()
  const known = new Set<string>()
  let damaged = 0

  function report(table: Table<unknown>, key: string, cause: string): AtError {
    const full = table.prefix + key
    const text = `${table.noun} ${key} is damaged`
    if (!known.has(full)) {
      damaged += 1
      if (known.size < remembered) known.add(full)
      log('error', text, { cause })
    }
    return new AtError('AT0002', text, { closes: false })
  }

  function decode<Row>(table: Table<Row>, key: string, stored: Uint8Array): Row {
    const json = unseal(table.prefix + key, stored)
    if (json === undefined) throw report(table, key, 'its checksum does not match')
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

  function cached(key: string): StoredRecord | undefined {
    const hit = cache.get(key)
    if (hit !== undefined) return hit.value
    const record = read(tables.records, key)
    cache.set(key, record)
    return record
  }

  function get<Row>(table: Table<Row>, key: string, snapshot?: Snapshot): Row | undefined {
    const which: Table<unknown> = table
    if (which === tables.memory) return memory.get(key) as Row | undefined
    if (which === tables.records && snapshot === undefined) return cached(key) as Row | undefined
    return read(table, key, snapshot)
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
    for await (const [full, stored] of database.scan(range)) {
      const key = full.slice(table.prefix.length)
      const row = tolerant(() => decode(table, key, stored))
      if (row !== undefined) yield [key, row] as const
    }
  }

  /** The persisted mark, or the newest entry should the mark be damaged. */
  async function loadCommit(): Promise<number> {
    let last = tolerant(() => read(tables.meta, commitKey)) ?? -1
    for await (const key of database.keys({ prefix: tables.commits.prefix, reverse: true, limit: 1 })) {
      last = Math.max(last, fromSortable(key.slice(tables.commits.prefix.length)))
    }
    return last
  }

  /** Where the latest gap in the commit ids ends. */
  async function loadGap(): Promise<number> {
    for await (const [, end] of rows(tables.gaps, { reverse: true, limit: 1 })) return end
    return -1
  }

  /** Counts what waits for whom, and drops entries that a power cut or damage has parted from their notification. */
  async function loadOutbox(numbers: Map<string, number>): Promise<void> {
    const stray: Operation[] = []
    for await (const [key, id] of rows(tables.outbox)) {
      const { recipient, place } = fromOutboxKey(key)
      numbers.set(queueKey, Math.max(place, numbers.get(queueKey) ?? 0))
      if (tolerant(() => read(tables.notificationStates, id))?.outbox === key) {
        numbers.set(recipient, (numbers.get(recipient) ?? 0) + 1)
      } else stray.push({ key: tables.outbox.prefix + key, value: undefined })
    }
    if (stray.length > 0) await database.batch(stray, false)
  }

  return {
    get,
    tryGet: (table, key, snapshot) => tolerant(() => get(table, key, snapshot)),
    rows,
    memory,
    promote(cells) {
      for (const { table, key, row } of cells) {
        if (table === tables.records) cache.set(key, row as StoredRecord | undefined)
        else if (table !== tables.memory) continue
        else if (row === undefined) memory.delete(key)
        else memory.set(key, row as number)
      }
    },
    async load() {
      const numbers = new Map([
        [commitKey, await loadCommit()],
        [gapKey, await loadGap()],
      ])
      await loadOutbox(numbers)
      cache.clear()
      memory.clear()
      for (const [key, number] of numbers) memory.set(key, number)
    },
    forget: () => cache.clear(),
    damaged: () => damaged,
  }
}
