import { type AtKey, parseAtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { isLive, type Metadata } from '../core/metadata.ts'
import type { Store } from '../core/storage.ts'
import type { CopyRefresh } from './remote.ts'

/** Once a day, as the reference does (page 07, section 8): each refresh of a copy is a flash write. */
const roundMs = 86_400_000
const hourMs = 3_600_000
/** A round takes this long at most, so that peers are not asked for everything at once. */
const spreadMs = 14_400_000
const longestPauseMs = 60_000

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
 * first within a day at random, one copy after the other with pauses between. An owner who cannot be reached is left alone
 * until the next round.
 * @param options `random` from 0 up to 1 spreads the work of many devices
 * @returns a function that stops it
 */
export function startRefresh(options: {
  clock: Clock
  log: Log
  store: Store
  remote: CopyRefresh
  random?: () => number
}): () => void {
  const { clock, log, store, remote, random = Math.random } = options
  let stopped = false
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

  /** @returns false when the owner cannot be asked */
  const refresh = async ({ copy, keptWithoutTtr }: Due): Promise<boolean> => {
    try {
      if (keptWithoutTtr && copy.scope === 'public') await remote.dropCopy(copy)
      else await remote.refreshCopy(copy)
      return true
    } catch (error) {
      if (!(error instanceof AtError)) throw error
      log('debug', 'a copy could not be refreshed', { key: copy.text, reason: error.message })
      return false
    }
  }

  const round = async (): Promise<void> => {
    const due = await dueCopies()
    const away = new Set<AtSign | undefined>()
    const between = Math.min(longestPauseMs, spreadMs / Math.max(due.length, 1))
    for (const entry of due) {
      if (stopped) return
      if (away.has(entry.copy.owner)) continue
      if (!(await refresh(entry))) away.add(entry.copy.owner)
      if (!stopped) await pause(between * (0.5 + random()))
    }
    if (due.length > 0) log('debug', 'old copies were refreshed', { copies: due.length, ownersAway: away.size })
  }

  const sleep = (ms: number): void => {
    cancel = clock.after(ms, () => {
      round()
        .catch((error: unknown) => {
          if (!stopped) log('error', 'refreshing copies failed and is tried again tomorrow', { error })
        })
        .finally(() => {
          if (!stopped) sleep(roundMs)
        })
    })
  }

  // Not in the first hour, which a device that is switched on has better uses for.
  sleep(hourMs + (roundMs - hourMs) * random())
  return () => {
    stopped = true
    cancel()
  }
}
