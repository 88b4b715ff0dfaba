import { AtError } from '../core/errors.ts'
import type { Committed } from './committed.ts'
import { createDraft, type Draft, type Drafted } from './draft.ts'
import { createGroups, type GroupsParts, type Waiter } from './groups.ts'
import { reasonOf } from './refusal.ts'

// Changes are staged one after another, in memory, and written in groups (groups.ts). So the layers of a read are: the
// change itself, the group that fills, the group in flight, the committed state.

/**
 * When a change is acknowledged: `group` once it is on flash; `interval` once it is in LevelDB's log, where it outlives this
 * process and reaches flash an interval later at most; `none` likewise, and it reaches flash with whatever is synced next.
 * `memory` is for a change that stages nothing and only takes its place among the others, whatever becomes of them.
 */
export type Sync = 'group' | 'interval' | 'none' | 'memory'

/** The one way into the database. */
export interface Writer {
  /**
   * Stages a change after all earlier ones and resolves when its group is written. One that waits for nothing is staged
   * before this returns, unless an earlier one still is.
   */
  write<T>(change: (draft: Draft) => T | Promise<T>, sync: Sync): Promise<T>
  /** What was written may be gone: changes under way fail, and `recover` runs before the next one. */
  distrust(cause: unknown): void
  /** Waits for everything under way, and until it is on flash; later writes fail. */
  close(): Promise<void>
}

/** What a writer works on. */
export interface WriterParts extends GroupsParts {
  readonly committed: Committed
  /** Brings database and committed state together after a failed batch. */
  readonly recover: () => Promise<void>
  /** The last change before the store is closed. */
  readonly last: (draft: Draft) => void
}

type Told = Pick<Waiter, 'resolve' | 'reject'>

interface Job {
  readonly sync: Sync
  /** @returns a promise when the change waits for something */
  readonly stage: () => Promise<void> | undefined
  readonly reject: (error: unknown) => void
}

const closed = (): AtError => new AtError('AT0002', 'the store is closed')

/** Makes the writer of one store. */
export function createWriter(parts: WriterParts): Writer {
  const { committed, recover, interval, last, log } = parts
  const groups = createGroups(parts)
  let jobs: Job[] = []
  let staging = false
  let ended: Promise<void> | undefined

  async function heal(): Promise<void> {
    try {
      await recover()
    } catch (cause) {
      throw new AtError('AT0002', `the store could not take the change: ${reasonOf(cause)}`, { cause })
    }
    groups.healed()
  }

  async function work(): Promise<void> {
    staging = true
    while (jobs.length > 0) {
      const round = jobs
      jobs = []
      for (const job of round) {
        try {
          // No pause in between: the batch in flight may fail at any other time.
          if (groups.failed() !== undefined && job.sync !== 'memory') await heal()
          const waiting = job.stage()
          if (waiting !== undefined) await waiting
        } catch (error) {
          job.reject(error)
        }
      }
    }
    staging = false
  }

  function join(drafted: Drafted, sync: Sync, failuresBefore: number, { resolve, reject }: Told): void {
    const { cells, tasks, mustSync } = drafted
    if (groups.failures() !== failuresBefore && sync !== 'memory') throw groups.failed() ?? closed()
    if (sync === 'memory' && cells.size > 0) {
      throw new AtError('AT0010', 'a change in memory may not store anything')
    }
    const isSynced = sync === 'group' || mustSync
    const reach = cells.size === 0 ? 'any' : isSynced ? 'synced' : sync === 'interval' ? 'relaxed' : 'any'
    groups.join(cells, reach, { inMemory: sync === 'memory', tasks, resolve, reject })
  }

  /** @param tell makes of a result who is to be told of it */
  function stage<T>(
    change: (draft: Draft) => T | Promise<T>,
    sync: Sync,
    tell: (result: T) => Told,
  ): Promise<void> | undefined {
    const before = groups.failures()
    const { draft, end } = createDraft(committed, groups.staged, sync === 'interval')
    let outcome: T | Promise<T>
    try {
      outcome = change(draft)
    } catch (error) {
      end()
      throw error
    }
    if (!(outcome instanceof Promise)) {
      join(end(), sync, before, tell(outcome))
      return undefined
    }
    const left = (error: unknown): never => {
      end()
      throw error
    }
    return outcome.then((result) => join(end(), sync, before, tell(result)), left)
  }

  function enqueue<T>(change: (draft: Draft) => T | Promise<T>, sync: Sync): Promise<T> {
    return new Promise((resolve, reject) => {
      const tell = (result: T): Told => ({ resolve: () => resolve(result), reject })
      jobs.push({ sync, stage: () => stage(change, sync, tell), reject })
      if (!staging) void work()
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
      groups.fail(cause)
      void enqueue(() => {}, 'none').catch(() => undefined)
    },
    close() {
      ended ??= finishAll()
      return ended
    },
  }
}
