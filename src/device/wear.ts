import { readFileSync } from 'node:fs'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Store } from '../core/storage.ts'

/** What is written to the card, and how long it will bear that. */
export interface Wear {
  /** Bytes since the first day, by `source`. */
  readonly totalBytes: number
  /** The first day, milliseconds since the epoch. */
  readonly since: number
  /** Of the last whole day (UTC); before there is one, an estimate; undefined in the first hour. */
  readonly bytesPerDay: number | undefined
  /** What the card bears in all, by the setting `storage.endurance`. */
  readonly enduranceBytes: number
  /** Until that is used up at this pace, 100 at most. */
  readonly yearsLeft: number | undefined
  /** The kernel's count for this process, or the store's own where the kernel has none. */
  readonly source: 'kernel' | 'store'
}

/** The meter of one store. */
export interface WearMeter {
  read(): Wear
  close(): Promise<void>
}

const dayMs = 86_400_000
const hourMs = 3_600_000
const mostYears = 100

/** A device that writes nothing must not write that down. */
const worthAWrite = 65_536

/** Kept among the counters of visits: numbers by name, unsynced, of which a power cut may cost the last hour. */
const names = { total: 'wear/total', since: 'wear/since', day: 'wear/day', before: 'wear/before', last: 'wear/last' }

/**
 * Bytes that the kernel sent to a disk for this process, less what was deleted before it went there.
 * @returns undefined where the kernel does not count
 */
export function kernelBytes(path = '/proc/self/io'): number | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    const number = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1])
    const bytes = number('write_bytes') - number('cancelled_write_bytes')
    return Number.isFinite(bytes) ? bytes : undefined
  } catch {
    return undefined
  }
}

/**
 * Counts what is written, over restarts.
 * @param options `bytes` tells what the kernel counts for this process
 */
export async function createWearMeter(options: {
  readonly store: Pick<Store, 'visits' | 'write' | 'written'>
  readonly clock: Clock
  readonly log: Log
  readonly enduranceBytes: number
  readonly bytes?: () => number | undefined
}): Promise<WearMeter> {
  const { store, clock, log, enduranceBytes, bytes = kernelBytes } = options
  const source = bytes() === undefined ? 'store' : 'kernel'
  const counted = (): number => (source === 'kernel' ? bytes() : undefined) ?? store.written()
  const kept = new Map<string, number>()
  for await (const [name, value] of store.visits.entries()) if (name.startsWith('wear/')) kept.set(name, value)
  const dayOf = (at: number): number => Math.floor(at / dayMs)
  const since = kept.get(names.since) ?? clock.now()
  /** Day of the latest reading, the total at its start, and what the last whole day took. */
  let day = kept.get(names.day) ?? dayOf(clock.now())
  let before = kept.get(names.before) ?? 0
  let last = kept.get(names.last)
  let total = kept.get(names.total) ?? 0
  let noted = total
  let seen = counted()
  let cancel: (() => void) | undefined

  function count(): void {
    const now = counted()
    total += Math.max(now - seen, 0)
    seen = now
    const today = dayOf(clock.now())
    if (today <= day) return
    // After days without power the days in between share what was written.
    last = Math.round((total - before) / (today - day))
    day = today
    before = total
  }

  function estimate(): number | undefined {
    if (last !== undefined) return last
    const elapsedMs = clock.now() - since
    return elapsedMs < hourMs ? undefined : Math.round((total * dayMs) / elapsedMs)
  }

  async function keep(): Promise<void> {
    count()
    if (total - noted < worthAWrite) return
    noted = total
    const rows: [string, number | undefined][] = [
      [names.total, total],
      [names.since, since],
      [names.day, day],
      [names.before, before],
      [names.last, last],
    ]
    const writing = store.write(
      async (tx) => {
        for (const [name, value] of rows) await tx.putVisits(name, value)
      },
      { sync: false },
    )
    await writing.catch((error: unknown) => log('warn', 'the wear of the card was not noted', { error }))
  }

  const arm = (): void => {
    cancel = clock.after(hourMs, () => {
      arm()
      void keep()
    })
  }
  arm()

  return {
    read() {
      count()
      const bytesPerDay = estimate()
      const years = (enduranceBytes - total) / ((bytesPerDay ?? 0) * 365.25)
      const yearsLeft =
        bytesPerDay === undefined ? undefined : Math.max(0, Math.min(mostYears, Math.round(years * 10) / 10))
      return { totalBytes: total, since, bytesPerDay, enduranceBytes, yearsLeft, source }
    },
    async close() {
      cancel?.()
      await keep()
    },
  }
}
