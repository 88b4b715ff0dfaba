import { type Clock, elapsed } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Handle } from './handle.ts'
import { isMending } from './mending.ts'
import { reasonOf } from './refusal.ts'
import { bytesAside, dropAside, dropOldAside } from './set-aside.ts'

const cannotRemove = 'copies that were set aside cannot be removed'

const dayMs = 86_400_000

/** Keeps the copies that were set aside within bounds while a store is open. */
export interface AsideKeeper {
  /** Bytes that they take besides the database. */
  size(): Promise<number>
  /** Drops all of them. @returns how many */
  drop(): Promise<number>
  /** Drops those that are old, once a day, when the clock can be trusted. */
  tidy(): Promise<void>
}

/** @param parts `directory` of the store, `path` of its database */
export function createAsideKeeper(parts: {
  readonly directory: string
  readonly path: string
  readonly database: Handle
  readonly clock: Clock
  readonly log: Log
}): AsideKeeper {
  const { directory, path, database, clock, log } = parts
  let tidiedAt = Number.NEGATIVE_INFINITY

  /** A copy of a database that is not put right yet is all that there is. */
  const isNeeded = async (): Promise<boolean> => {
    await database.ready()
    return isMending(directory)
  }

  return {
    size: () => bytesAside(directory, path),
    async drop() {
      if (await isNeeded()) return 0
      return dropAside(directory, 0).catch((cause: unknown) => {
        log('warn', cannotRemove, { cause: reasonOf(cause) })
        return 0
      })
    },
    async tidy() {
      if (elapsed(clock) - tidiedAt < dayMs || clock.trusted?.() === false || (await isNeeded())) return
      tidiedAt = elapsed(clock)
      await dropOldAside(directory, clock.now()).catch((cause: unknown) => {
        log('warn', cannotRemove, { cause: reasonOf(cause) })
      })
    },
  }
}
