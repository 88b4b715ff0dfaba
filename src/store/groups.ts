import { AtError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Cell, Committed } from './committed.ts'
import type { Operation } from './database.ts'
import type { Cells } from './draft.ts'
import { createGather } from './gather.ts'
import type { IntervalSync } from './interval.ts'
import { tables } from './layout.ts'
import { reasonOf } from './refusal.ts'
import { seal } from './seal.ts'

/** Who waits for a group to be written. */
export interface Waiter {
  /** A write that fails is nothing to it. */
  readonly inMemory: boolean
  /** Run before anybody is told, in the order of the changes. */
  readonly tasks: readonly (() => void)[] | undefined
  readonly resolve: () => void
  readonly reject: (error: AtError) => void
}

/** How a change reaches flash: synced with its group, an interval later at most, or with whatever is synced next. */
export type Reach = 'synced' | 'relaxed' | 'any'

/** Changes that are written together: while one group is on its way to flash, the next one fills. */
export interface Groups {
  /** A row of a change that is not on flash yet, by its name among the staged ones (draft.ts). */
  staged(name: string): Cell | undefined
  /** Adds a change, behind all earlier ones, to the group that fills. */
  join(cells: Cells, reach: Reach, waiter: Waiter): void
  /** What was written may be gone: every change under way fails. */
  fail(cause: unknown): void
  /** Grows with every failed group: a change that began before has seen what is no longer true. */
  failures(): number
  /** Why nothing may be written; undefined when it may. */
  failed(): AtError | undefined
  /** Database and committed state agree again. */
  healed(): void
}

/** What groups are written with. */
export interface GroupsParts {
  readonly committed: Pick<Committed, 'promote'>
  /** Writes one batch, all or nothing. */
  readonly batch: (operations: readonly Operation[], sync: boolean) => Promise<void>
  /** Whether the next batch may begin a new log: a power cut could keep it and lose the end of the one before. */
  readonly isLogEnding: () => Promise<boolean>
  readonly interval: IntervalSync
  readonly log: Log
  /** Runs a task after the moment for which nobody minds to wait, unless it is cancelled; a timer unless told. */
  readonly later?: (task: () => void) => () => void
}

interface Group {
  readonly cells: Map<string, Cell>
  readonly waiters: Waiter[]
  sync: boolean
  /** Holds a change that has to be on flash an interval later. */
  relaxed: boolean
  /** Holds a change that does not wait for company. */
  urgent: boolean
}

/** A batch for nothing but marks keeps the readings behind it waiting, which would have taken them along. */
const patienceMs = 3

function afterPatience(task: () => void): () => void {
  const timer = setTimeout(task, patienceMs)
  return () => clearTimeout(timer)
}

/** LevelDB tells of a full disk in the words of the C library only. */
const sentenceOf = (reason: string): string =>
  `${/no space left/i.test(reason) ? 'the disk is full: ' : ''}the store could not take the change: ${reason}`

const newGroup = (): Group => ({ cells: new Map(), waiters: [], sync: false, relaxed: false, urgent: false })

function operationsOf(cells: Cells): Operation[] {
  const operations: Operation[] = []
  for (const [key, { table, row }] of cells) {
    if (table === tables.memory || table === tables.latest) continue
    operations.push({ key, value: row === undefined ? undefined : seal(key, JSON.stringify(table.pack(row))) })
  }
  return operations
}

/** Makes the groups of one writer. */
export function createGroups(parts: GroupsParts): Groups {
  const { committed, batch, isLogEnding, interval, log, later = afterPatience } = parts
  let filling = newGroup()
  let inFlight: Group | undefined
  let scheduled = false
  let stopWaiting: (() => void) | undefined
  let failed: AtError | undefined
  let failures = 0

  const gather = createGather()

  function schedule(): void {
    if (scheduled || inFlight !== undefined) return
    if (!filling.urgent) {
      stopWaiting ??= later(hurry)
      return
    }
    scheduled = true
    // At the end of the turn: whatever this turn's input brings shares one batch.
    setImmediate(look)
  }

  function hurry(): void {
    stopWaiting = undefined
    filling.urgent = true
    schedule()
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
    stopWaiting?.()
    stopWaiting = undefined
    const group = filling
    inFlight = group
    filling = newGroup()
    const began = performance.now()
    const cause = await attempt(group)
    if (group.cells.size > 0) gather.wrote(group.waiters.length, performance.now() - began)
    inFlight = undefined
    if (cause === undefined) {
      // What has come meanwhile is written while those who waited are told; it is done after them.
      if (filling.sync && !gather.waits(filling.waiters.length)) void flush()
      finish(group.waiters)
    } else {
      fail(group.waiters, cause.error)
    }
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
      for (const task of tasks ?? []) run(task)
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

  return {
    staged: (name) => filling.cells.get(name) ?? inFlight?.cells.get(name),
    join(cells, reach, waiter) {
      for (const [name, cell] of cells) filling.cells.set(name, cell)
      if (reach === 'synced') filling.sync = true
      if (reach === 'relaxed') filling.relaxed = true
      if (reach !== 'any' || cells.size === 0) filling.urgent = true
      filling.waiters.push(waiter)
      schedule()
    },
    fail: (cause) => fail([], cause),
    failures: () => failures,
    failed: () => failed,
    healed() {
      failed = undefined
    },
  }
}
