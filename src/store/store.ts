import { join } from 'node:path'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import type { Room } from '../core/disk.ts'
import type { StoreHealth, StoreState } from '../core/health.ts'
import { limits } from '../core/limits.ts'
import { type Log, silent } from '../core/log.ts'
import type { Durability, Store } from '../core/storage.ts'
import { createAsideKeeper } from './aside-keeper.ts'
import { closeGap, createCommits, releaseReserved } from './commits.ts'
import { createCommitted } from './committed.ts'
import { createCrowd } from './crowd.ts'
import type { Database, Operation } from './database.ts'
import { createDiskBudget, roomOf } from './disk.ts'
import { createEnrollments } from './enrollments.ts'
import { createLosses, type Losses } from './health.ts'
import { createIntervalSync } from './interval.ts'
import { type Climbed, databaseName } from './ladder.ts'
import { formatVersion, tables } from './layout.ts'
import { createLossKeeper, earlierLosses } from './loss-file.ts'
import { type Migration, migrations } from './migrations.ts'
import { createNotifications } from './notifications.ts'
import { openOwn } from './open.ts'
import { createOutbox } from './outbox.ts'
import { openQuarantine, type Quarantine } from './quarantine.ts'
import { dropCopies, dropSettled } from './reclaim.ts'
import { createRecords } from './records.ts'
import { createRecovery } from './recovery.ts'
import { hasCode } from './refusal.ts'
import { createRetention, type NotificationBounds } from './retention.ts'
import { createScrub, type Scrub } from './scrub.ts'
import { writeSnapshot } from './snapshot.ts'
import type { Starts } from './starts.ts'
import { nextExpiry, sweep } from './sweep.ts'
import { createPatrol } from './tables.ts'
import { createTimeKeeper } from './time.ts'
import { createTransaction } from './transaction.ts'
import { createWriter, type Writer } from './writer.ts'

/** What `openStore` needs. */
export interface StoreOptions {
  /** Folder of the store, made with mode 0700 when it is missing. */
  readonly directory: string
  readonly atSign: AtSign
  readonly clock: Clock
  readonly log?: Log
  /** Notifications that may wait for one recipient. */
  readonly outboxPerPeer?: number
  /** Folder of the snapshots from which a database is restored that cannot be used any more. */
  readonly snapshots?: string | undefined
  /** Bytes of decoded records kept in memory. */
  readonly cacheBytes?: number
  /** Bytes that the store may take; as many as its file system has unless told. */
  readonly maxBytes?: number
  /** How long and how much of the notifications is kept; `limits` unless told. */
  readonly notificationLog?: Partial<NotificationBounds> | undefined
  /** Of changes that name none; `group` unless told. */
  readonly durability?: Durability
  /** How long a change in `interval` mode may be acknowledged before it is on flash; two seconds unless told. */
  readonly intervalMs?: number
}

/** Seams for tests: faults, counts and formats that do not exist yet. */
export interface StoreSeams {
  /** Around every batch; `write` does the work. */
  readonly aroundBatch?: (write: () => Promise<void>, operations: readonly Operation[], sync: boolean) => Promise<void>
  /** Around every sync of what was acknowledged before; `sync` does the work. */
  readonly aroundSync?: (sync: () => Promise<void>) => Promise<void>
  /** As in `GroupsParts`. */
  readonly later?: (task: () => void) => () => void
  /** Room of the file system. */
  readonly room?: () => Promise<Room>
  readonly migrations?: readonly Migration[]
  /** Told after every step by which a start changes files of the database. */
  readonly changed?: (what: string) => Promise<void>
  /** Bytes of changes that LevelDB gathers before it writes a table: with few, tables appear and are merged soon. */
  readonly memtableBytes?: number
}

/** What a store writes though nobody changed what it holds. */
const incidental = [tables.notes, tables.meta, tables.access].map(({ prefix }) => prefix)

const isIncidental = ({ key }: Operation): boolean => incidental.some((prefix) => key.startsWith(prefix))

const defaultCacheBytes = 2 * 1024 * 1024

/** @returns a function that looks through tables in use and has the next start put right what it finds */
function tableWatch(path: string, losses: Losses, starts: Starts): (bytes: number) => Promise<void> {
  const patrol = createPatrol(path)
  return async (bytes) => {
    const harmed = await patrol(bytes)
    if (harmed === undefined) return
    losses.found({ what: 'table', key: harmed, cause: 'it is put right when the store opens next' })
    starts.distrust()
  }
}

function stateOf(database: Database, losses: Losses, readOnly: string | undefined): StoreState {
  if (readOnly !== undefined) return database.isOpen() ? 'read-only' : 'down'
  const state = losses.state()
  return state === 'read-only' ? 'sound' : state
}

function healthOf(
  database: Database,
  losses: Losses,
  quarantine: Quarantine,
  scrub: Scrub,
  trouble?: string,
): StoreHealth {
  const [readOnly, report] = [database.readOnly() ?? trouble, losses.report()]
  return {
    state: stateOf(database, losses, readOnly),
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(report === undefined ? {} : { report }),
    healed: losses.healings(),
    quarantined: quarantine.count(),
    scrub: scrub.progress(),
  }
}

/**
 * Opens the store of one atSign; makes it when the directory was never provisioned.
 * Damage is no obstacle: what was lost and what was done about it stands in `health`.
 * @throws StoreRefusal, with a sentence for the operator, when it is locked, of another atSign, of a newer format, not of
 * atedge or cannot even be read; nothing is changed then
 */
export async function openStore(options: StoreOptions, seams: StoreSeams = {}): Promise<Store> {
  const { directory, atSign, log = silent, outboxPerPeer = limits.outboxPerPeer } = options
  const { intervalMs = limits.syncIntervalMs } = options
  const steps = seams.migrations ?? migrations
  const format = Math.max(formatVersion, ...steps.map(({ to }) => to))
  // The floor is inside the store, so what is found while it opens is stamped by the wall clock.
  const losses = createLosses(options.clock, log, await earlierLosses(directory, options.clock))
  const keepLosses = createLossKeeper(directory, losses, log)
  const opening = {
    directory,
    atSign,
    clock: options.clock,
    log,
    losses,
    migrations: steps,
    format,
    snapshots: options.snapshots,
    changed: seams.changed ?? (async () => {}),
    memtableBytes: seams.memtableBytes,
  }
  const { database, starts, forgetful, settle } = await openOwn(opening)
  const cacheBytes = options.cacheBytes ?? defaultCacheBytes
  const quarantine = await openQuarantine(database, options.clock)
  const committed = createCommitted({ database, losses, cacheBytes, onDamage: quarantine.take })
  const load = async (opened: Omit<Climbed, 'database'>, why: string): Promise<void> => {
    await committed.load(opened.forgetful)
    const gap = await closeGap(database, committed)
    if (gap !== undefined) {
      log('warn', `${why}; commit ids that may have been lost stay unused`, { ...gap })
      await committed.load()
    }
    await keepLosses()
    if (database.readOnly() === undefined) await opened.settle()
  }
  await load({ forgetful, settle }, 'the store was not closed cleanly').catch(async (error) => {
    await database.close()
    throw error
  })
  const time = createTimeKeeper(committed, options.clock, log)
  const { clock } = time
  const { aroundBatch = (write) => write(), aroundSync = (sync) => sync() } = seams
  let changes = 0
  let batchBytes = 0
  let corrupt = false
  const batch = async (changed: readonly Operation[], sync: boolean): Promise<void> => {
    if (!changed.every(isIncidental)) changes += 1
    const operations = [...changed, ...time.ride()]
    const bytes = operations.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0)
    batchBytes += bytes
    disk.wrote(bytes)
    try {
      await aroundBatch(() => database.batch(operations, sync), operations, sync)
    } catch (error) {
      corrupt ||= hasCode(error, 'LEVEL_CORRUPTION')
      throw error
    }
  }
  const reopen = async (): Promise<void> => {
    const opened = await database.reopen(corrupt)
    corrupt = false
    await load(opened, 'the database was opened again')
    if (database.readOnly() === undefined) interval.renewed()
  }
  const interval = createIntervalSync({
    sync: () => aroundSync(database.syncLog),
    failed: (cause) => writer.distrust(cause),
    ...{ intervalMs, clock, log },
  })
  const recovery = createRecovery(reopen, () => void writer.write(async () => {}, 'none').catch(() => {}), clock)
  const writer: Writer = createWriter({
    ...{ committed, log, batch, interval },
    ...(seams.later === undefined ? {} : { later: seams.later }),
    isLogEnding: () => database.isLogEnding(),
    recover: recovery.recover,
    last(draft) {
      releaseReserved(draft)
      time.last(draft)
    },
  })
  const parts = { database, committed, writer }
  const aside = createAsideKeeper({ directory, path: join(directory, databaseName), database, clock, log })
  const size = async (): Promise<number> => (await database.size()) + (await aside.size())
  const disk = createDiskBudget({
    room: seams.room ?? (() => roomOf(directory)),
    size,
    spare: { what: 'copies from before the database was put right', run: aside.drop },
    ...{ maxBytes: options.maxBytes, clock, log },
    steps: [
      { what: 'what has expired', run: () => sweep(database, committed, writer, clock.now()) },
      { what: 'copies of the records of others', run: () => dropCopies(parts, clock.now()) },
      { what: 'sent notifications that wait no more', run: () => dropSettled(parts) },
    ],
    compact: () => database.compact(),
  })
  const retain = createRetention(parts, {
    ...{ keepMs: limits.notificationKeepMs, maxBytes: limits.notificationLogBytes },
    ...options.notificationLog,
  })
  const lookThroughTables = tableWatch(join(directory, databaseName), losses, starts)
  const scrub = createScrub({ database, committed, writer, losses })
  // What the ladder met is named before anybody asks for it.
  if (losses.news() > 0) await scrub.begin(limits.scrubAtOpenBytes)
  return {
    clock,
    records: createRecords(database, committed),
    commits: createCommits(committed),
    notifications: createNotifications(database, committed),
    enrollments: createEnrollments(database, committed),
    outbox: createOutbox(committed),
    visits: { entries: () => committed.rows(tables.access) },
    async secret(name) {
      await database.ready()
      return committed.get(tables.secrets, name)
    },
    write: (change, { sync = true, durability = options.durability ?? 'group', inMemory = false } = {}) =>
      writer.write(
        (draft) => change(createTransaction({ draft, committed, outboxPerPeer, assertRoom: disk.assertRoom })),
        inMemory ? 'memory' : sync ? durability : 'none',
      ),
    disk: {
      use: disk.use,
      async check() {
        await aside.tidy()
        await disk.check()
      },
    },
    sweep: (now) => sweep(database, committed, writer, now),
    retain,
    thinOut: createCrowd(parts),
    nextExpiry: () => nextExpiry(database),
    size,
    written: () => batchBytes + database.tablesWritten(),
    changes: () => changes,
    snapshot: () => writeSnapshot(database, { atSign, format, time: clock.now() }),
    async scrub(bytes) {
      await lookThroughTables(bytes / 2)
      const read = await scrub.step(bytes / 2)
      await quarantine.flush(writer)
      await keepLosses()
      return read
    },
    async ownerTold(news) {
      losses.told(news)
      await keepLosses()
    },
    health: () => healthOf(database, losses, quarantine, scrub, recovery.trouble()),
    async close() {
      const last = Promise.allSettled([scrub.note(), quarantine.flush(writer)])
      await writer.close()
      await last
      await database.close()
      await keepLosses()
      await starts.end()
      committed.forget()
    },
  }
}
