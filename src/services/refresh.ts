import { type AtKey, parseAtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import { type Clock, elapsed } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { isLive, type Metadata } from '../core/metadata.ts'
import type { Store } from '../core/storage.ts'
import type { CopyRefresh } from './remote.ts'

/** When the rounds of refreshing are, in milliseconds. */
export interface RefreshTimes {
  /** From the start to the first round at least. */
  readonly firstMs: number
  /** From one round to the next. */
  readonly roundMs: number
  /** A round takes this long at most, so that peers are not asked for everything at once. */
  readonly spreadMs: number
  readonly longestPauseMs: number
  /** After this time owners who were away are asked once more; each further time takes twice as long. */
  readonly retryMs: number
}

const hourMs = 3_600_000

/** A round a day, as the reference does (page 07, section 8): each refresh of a copy is a flash write. */
const usualTimes: RefreshTimes = {
  // Not in the first hour, which a device that is switched on has better uses for.
  firstMs: hourMs,
  roundMs: 24 * hourMs,
  spreadMs: 4 * hourMs,
  longestPauseMs: 60_000,
  retryMs: 600_000,
}

/** Further times that a round asks owners who are away: the last some five hours later. */
const furtherTimes = 5

/** The rounds of refreshing. */
export interface Refresh {
  /** Begins the next round at once, unless one is under way. */
  now(): void
  stop(): void
}

/** Copies that may be old: kept for some time and due, or kept without saying how long by an earlier version. */
function isDue(metadata: Metadata, now: number): boolean {
  const { ttr = 0, refreshAt } = metadata
  return isLive(metadata, now) && ttr !== -1 && (ttr === 0 || refreshAt === undefined || refreshAt <= now)
}

interface Due {
  readonly copy: AtKey
  readonly keptWithoutTtr: boolean
}

/**
 * Asks for old copies of other atSigns' records again, so that they are true when their owners are away: a round a day, the
 * first within a day at random, one copy after the other with pauses between. Of an owner who cannot be reached nothing more
 * is asked until a later turn of the round.
 * @param options `random` from 0 up to 1 spreads the work of many devices
 */
export function startRefresh(options: {
  clock: Clock
  log: Log
  store: Store
  remote: CopyRefresh
  random?: () => number
  times?: RefreshTimes | undefined
}): Refresh {
  const { clock, log, store, remote, random = Math.random, times = usualTimes } = options
  let stopped = false
  let sleeping = false
  let cancel = (): void => {}

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      cancel = clock.after(ms, resolve)
    })

  /** Key behind which the next round begins. */
  let behind = ''

  /** All due copies once, those behind that key first. */
  async function* fromBehind(): AsyncGenerator<Due> {
    for (const isLater of [true, false]) {
      for await (const [text, metadata] of store.records.entries('cached:')) {
        if (text > behind !== isLater || !isDue(metadata, clock.now())) continue
        yield { copy: parseAtKey(text), keptWithoutTtr: !metadata.ttr }
      }
    }
  }

  /** The next round begins where this one passed over a copy for the first time, so that the turn of each one comes. */
  const dueCopies = async (): Promise<Due[]> => {
    const due: Due[] = []
    const counts = new Map<AtSign | undefined, number>()
    let next: string | undefined
    for await (const entry of fromBehind()) {
      const count = counts.get(entry.copy.owner) ?? 0
      if (count === limits.refreshedCopiesPerOwner) {
        next ??= due.at(-1)?.copy.text
        continue
      }
      counts.set(entry.copy.owner, count + 1)
      due.push(entry)
      if (due.length === limits.refreshedCopies) break
    }
    behind = next ?? due.at(-1)?.copy.text ?? ''
    return due
  }

  /** What was found due may have been removed or renewed since. */
  const isStillDue = async ({ copy }: Due): Promise<boolean> => {
    const held = await store.records.get(copy.text)
    return held !== undefined && isDue(held.metadata, clock.now())
  }

  /** @returns false when the owner cannot be asked now */
  const refresh = async (entry: Due): Promise<boolean> => {
    const { copy, keptWithoutTtr } = entry
    if (!(await isStillDue(entry))) return true
    try {
      if (keptWithoutTtr && copy.scope === 'public') await remote.dropCopy(copy)
      else await remote.refreshCopy(copy)
      return true
    } catch (error) {
      if (!(error instanceof AtError)) throw error
      log('debug', 'a copy could not be refreshed', { key: copy.text, code: error.code, reason: error.message })
      return false
    }
  }

  /** Asks for these one after the other. @returns those whose owners are away */
  const turn = async (due: readonly Due[]): Promise<Due[]> => {
    const away = new Set<AtSign | undefined>()
    const left: Due[] = []
    const between = Math.min(times.longestPauseMs, times.spreadMs / Math.max(due.length, 1))
    for (const entry of due) {
      if (stopped) return []
      const { owner } = entry.copy
      const isAsked = !away.has(owner)
      if (isAsked && !(await refresh(entry))) away.add(owner)
      if (away.has(owner)) left.push(entry)
      if (isAsked && !stopped) await pause(between * (0.5 + random()))
    }
    if (away.size > 0)
      log('info', 'copies wait for their owners', { copies: left.length, owners: [...away].slice(0, 10) })
    return left
  }

  const round = async (): Promise<void> => {
    const due = await dueCopies()
    let left = await turn(due)
    for (let time = 0; time < furtherTimes && left.length > 0 && !stopped; time++) {
      await pause(times.retryMs * 2 ** time * (0.5 + random()))
      left = await turn(left)
    }
    if (due.length > 0) log('debug', 'old copies were refreshed', { copies: due.length - left.length })
  }

  const begin = (): void => {
    sleeping = false
    const begun = elapsed(clock)
    round()
      .catch((error: unknown) => {
        if (!stopped) log('error', 'refreshing copies failed and is tried again in the next round', { error })
      })
      .finally(() => {
        if (!stopped) sleep(Math.max(times.roundMs - (elapsed(clock) - begun), times.firstMs))
      })
  }

  const sleep = (ms: number): void => {
    sleeping = true
    cancel = clock.after(ms, begin)
  }

  sleep(times.firstMs + (times.roundMs - times.firstMs) * random())
  return {
    now() {
      if (!sleeping || stopped) return
      cancel()
      begin()
    },
    stop() {
      stopped = true
      cancel()
    },
  }
}
