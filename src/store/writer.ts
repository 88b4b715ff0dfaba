import { AtError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Cell, Committed } from './committed.ts'
import type { Operation } from './database.ts'
import { createGather } from './gather.ts'
import type { IntervalSync } from './interval.ts'
import { type Table, tables } from './layout.ts'
import { reasonOf } from './refusal.ts'
import { seal } from './seal.ts'

// Changes are staged one after another, in memory, and written in groups: while one batch is on its way to flash,
// everything that is staged goes into the next. So the layers of a read are: the change itself, the group that fills,
// the group in flight, the committed state.

/** One change while it is being made. */
export interface Draft {
  /** Sees everything staged before. @throws AtError AT0002 when the row is damaged */
  get<Row>(table: Table<Row>, key: string): Row | undefined
  /** The same, with damage (reported) counted as absence: the row is about to be replaced. */
  tryGet<Row>(table: Table<Row>, key: string): Row | undefined
  /** Whether a change of the row was staged before that is not on flash yet. */
  isStaged(table: Table<unknown>, key: string): boolean
  put<Row>(table: Table<Row>, key: string, row: Row): void
  remove(table: Table<unknown>, key: string): void
  /** The change must be on flash before anybody hears of it, whatever its options say. */
  mustSync(): void
  /** Whether the change may be acknowledged an interval before it is on flash. */
  readonly relaxed: boolean
  onCommit(task: () => void): void
}

/**
 * When a change is acknowledged: `group` once it is on flash; `interval` once it is in LevelDB's log, where it outlives this
 * process and reaches flash an interval later at most; `none` likewise, and it reaches flash with whatever is synced next.
 * `memory` is for a change that stages nothing and only takes its place among the others, whatever becomes of them.
 */
export type Sync = 'group' | 'interval' | 'none' | 'memory'

/** The one way into the database. */
export interface Writer {
  /** Stages a change after all earlier ones and resolves when its group is written. */
  write<T>(change: (draft: Draft) => Promise<T>, sync: Sync): Promise<T>
  /** What was written may be gone: changes under way fail, and `recover` runs before the next one. */
  distrust(cause: unknown): void
  /** Waits for everything under way, and until it is on flash; later writes fail. */
  close(): Promise<void>
}

/** What a writer works on. */
export interface WriterParts {
  readonly committed: Committed
  /** Writes one batch, all or nothing. */
  readonly batch: (operations: readonly Operation[], sync: boolean) => Promise<void>
  /** Whether the next batch may begin a new log: a power cut could keep it and lose the end of the one before. */
  readonly isLogEnding: () => Promise<boolean>
  /** Brings database and committed state together after a failed batch. */
  readonly recover: () => Promise<void>
  readonly interval: IntervalSync
  /** The last change before the store is closed. */
  readonly last: (draft: Draft) => Promise<void>
  readonly log: Log
}

interface Waiter {
  /** A write that fails is nothing to it. */
  readonly inMemory: boolean
  readonly tasks: readonly (() => void)[]
  readonly resolve: () => void
  readonly reject: (error: AtError) => void
}

interface Group {
  readonly cells: Map<string, Cell>
  readonly waiters: Waiter[]
  sync: boolean
  /** Holds a change that has to be on flash an interval later. */
  relaxed: boolean
}

interface Job {
  readonly sync: Sync
  readonly stage: () => Promise<void>
  readonly reject: (error: unknown) => void
}

type Lookup = (full: string) => Cell | undefined

/** LevelDB tells of a full disk in the words of the C library only. */
const sentenceOf = (reason: string): string =>
  `${/no space left/i.test(reason) ? 'the disk is full: ' : ''}the store could not take the change: ${reason}`

const newGroup = (): Group => ({ cells: new Map(), waiters: [], sync: false, relaxed: false })

function operationsOf(cells: Map<string, Cell>): Operation[] {
  const operations: Operation[] = []
  for (const [key, { table, row }] of cells) {
    if (table === tables.memory || table === tables.latest) continue
    operations.push({ key, value: row === undefined ? undefined : seal(key, JSON.stringify(table.pack(row))) })
  }
  return operations
}

const closed = (): AtError => new AtError('AT0002', 'the store is closed')

/** A draft and what became of it. */
function createDraft(committed: Committed, staged: Lookup, relaxed: boolean) {
  const cells = new Map<string, Cell>()
  const tasks: (() => void)[] = []
  const state = { sync: false, ended: false }

  function set(table: Table<unknown>, key: string, row: unknown): void {
    if (state.ended) throw new AtError('AT0010', 'the change has ended')
    cells.set(table.prefix + key, { table, key, row })
  }

  const find = (table: Table<unknown>, key: string) => cells.get(table.prefix + key) ?? staged(table.prefix + key)

  const draft: Draft = {
    get<Row>(table: Table<Row>, key: string) {
      const cell = find(table, key)
      return cell === undefined ? committed.get(table, key) : (cell.row as Row | undefined)
    },
    tryGet<Row>(table: Table<Row>, key: string) {
      const cell = find(table, key)
      return cell === undefined ? committed.tryGet(table, key) : (cell.row as Row | undefined)
    },
    isStaged: (table, key) => find(table, key) !== undefined,
    put: set,
    remove: (table, key) => set(table, key, undefined),
    mustSync() {
      state.sync = true
    },
    relaxed,
    onCommit: (task) => tasks.push(task),
  }
  return { draft, cells, tasks, state }
}

/** Makes the writer of one store. */
export function createWriter({ committed, batch, isLogEnding, recover, interval, last, log }: WriterParts): Writer {
  let filling = newGroup()
  let inFlight: Group | undefined
  let jobs: Job[] = []
  let staging = false
  let scheduled = false
  let ended: Promise<void> | undefined
  let failed: AtError | undefined
  /** Grows with every failed group: a change that began before has seen what is no longer true. */
  let failures = 0

  const gather = createGather()

  const staged: Lookup = (full) => filling.cells.get(full) ?? inFlight?.cells.get(full)

  function schedule(): void {
    if (scheduled || inFlight !== undefined) return
    scheduled = true
    // At the end of the turn: whatever this turn's input brings shares one batch.
    setImmediate(look)
  }

  function look(): void {
    if (gather.waits(filling.waiters.length)) {
      setImmediate(look)
      return
    }
    scheduled = false
    void flush()
  }

  async function flush(): Promise<void> {
    if (inFlight !== undefined || filling.waiters.length === 0) return
    const group = filling
    inFlight = group
    filling = newGroup()
    const began = performance.now()
    const cause = await attempt(group)
    if (group.cells.size > 0) gather.wrote(group.waiters.length, performance.now() - began)
    inFlight = undefined
    if (cause === undefined) finish(group.waiters)
    else fail(group.waiters, cause.error)
    if (filling.waiters.length > 0) schedule()
  }

  async function attempt(group: Group): Promise<{ error: unknown } | undefined> {
    try {
      const operations = operationsOf(group.cells)
      if (operations.length > 0) {
        if (group.sync || (await isLogEnding())) await interval.settle()
        await batch(operations, group.sync)
        if (group.relaxed && !group.sync) interval.wrote()
      }
      committed.promote(group.cells.values())
      return undefined
    } catch (error) {
      return { error }
    }
  }

  function finish(waiters: readonly Waiter[]): void {
    for (const { tasks } of waiters) {
      for (const task of tasks) run(task)
    }
    for (const { resolve } of waiters) resolve()
  }

  function run(task: () => void): void {
    try {
      task()
    } catch (error) {
      log('error', 'a task after a commit failed', { cause: reasonOf(error) })
    }
  }

  /** Fails changes and everything that was staged behind them. */
  function fail(changes: readonly Waiter[], cause: unknown): void {
    failures += 1
    failed = new AtError('AT0002', sentenceOf(reasonOf(cause)), { cause })
    const waiters = [...changes, ...filling.waiters]
    filling = newGroup()
    finish(waiters.filter(({ inMemory }) => inMemory))
    const losers = waiters.filter(({ inMemory }) => !inMemory)
    for (const { reject } of losers) reject(failed)
    if (losers.length > 0) log('error', failed.message, { changes: losers.length })
  }

  async function heal(): Promise<void> {
    try {
      await recover()
    } catch (cause) {
      throw new AtError('AT0002', `the store could not take the change: ${reasonOf(cause)}`, { cause })
    }
    failed = undefined
  }

  async function work(): Promise<void> {
    if (staging) return
    staging = true
    while (jobs.length > 0) {
      const round = jobs
      jobs = []
      for (const job of round) {
        try {
          // No pause in between: the batch in flight may fail at any other time.
          if (failed !== undefined && job.sync !== 'memory') await heal()
          await job.stage()
        } catch (error) {
          job.reject(error)
        }
      }
    }
    staging = false
  }

  async function stage<T>(
    change: (draft: Draft) => Promise<T>,
    sync: Sync,
    resolve: (result: T) => void,
    reject: (error: unknown) => void,
  ): Promise<void> {
    const before = failures
    const { draft, cells, tasks, state } = createDraft(committed, staged, sync === 'interval')
    const result = await change(draft).finally(() => {
      state.ended = true
    })
    if (failures !== before && sync !== 'memory') throw failed ?? closed()
    if (sync === 'memory' && cells.size > 0) throw new AtError('AT0010', 'a change in memory may not store anything')
    for (const [full, cell] of cells) filling.cells.set(full, cell)
    if (cells.size > 0 && (sync === 'group' || state.sync)) filling.sync = true
    if (cells.size > 0 && sync === 'interval') filling.relaxed = true
    filling.waiters.push({ inMemory: sync === 'memory', tasks, resolve: () => resolve(result), reject })
    schedule()
  }

  function enqueue<T>(change: (draft: Draft) => Promise<T>, sync: Sync): Promise<T> {
    return new Promise((resolve, reject) => {
      jobs.push({ sync, stage: () => stage(change, sync, resolve, reject), reject })
      void work()
    })
  }

  async function finishAll(): Promise<void> {
    interval.stop()
    // Changes end in order, so the last one ends after all others.
    await enqueue(last, 'group').catch(() => undefined)
    await interval.settle().catch((error) => {
      log('error', 'the last changes may not be on flash', { cause: reasonOf(error) })
    })
  }

  return {
    write: (change, sync) => (ended === undefined ? enqueue(change, sync) : Promise.reject(closed())),
    distrust(cause) {
      if (ended !== undefined) return
      fail([], cause)
      void enqueue(async () => {}, 'none').catch(() => undefined)
    },
    close() {
      ended ??= finishAll()
      return ended
    },
  }
}
