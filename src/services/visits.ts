import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { Store } from '../core/storage.ts'
import type { Visits } from '../verbs/verb.ts'

/** What `stats` reads of the visits. */
export interface VisitNumbers {
  /** The atSigns that proved themselves most often, by `pol`. */
  topAtSigns(): Record<string, number>
  /** The keys that were looked up most often. */
  topKeys(): Record<string, number>
  /** Time of the latest visit of any kind, and of the latest login by `pkam`. */
  last(kind: 'visit' | 'pkam'): number | undefined
}

/** How many are shown (reference: stats.top_visits and top_keys). */
const shown = 5

type Counters = Map<string, number>

const tables = ['pol', 'lookup', 'time'] as const
type TableName = (typeof tables)[number]

function top(counters: Counters): Record<string, number> {
  const sorted = [...counters].sort((one, next) => next[1] - one[1])
  return Object.fromEntries(sorted.slice(0, shown))
}

/** The name with the lowest count, the oldest among equals. */
function rarest(counters: Counters): string | undefined {
  let found: [string, number] | undefined
  for (const entry of counters) if (found === undefined || entry[1] < found[1]) found = entry
  return found?.[0]
}

/**
 * Counts visits in memory. What has changed goes to the store every ten minutes at most and when the server stops,
 * unsynced: flash wears out by writes, and a power cut may cost the last minutes of these numbers.
 */
export async function createVisits(options: {
  store: Pick<Store, 'visits' | 'write'>
  clock: Clock
  log: Log
  /** Keys, and atSigns, counted at one time; `limits.visitCounters` unless told. */
  maxCounters?: number
}): Promise<Visits & VisitNumbers & { close(): Promise<void> }> {
  const { store, clock, log, maxCounters = limits.visitCounters } = options
  const counters: Record<TableName, Counters> = { pol: new Map(), lookup: new Map(), time: new Map() }
  let changed = new Map<string, number | undefined>()
  let cancelFlush: (() => void) | undefined

  for await (const [name, value] of store.visits.entries()) {
    const slash = name.indexOf('/')
    const table = tables.find((known) => known === name.slice(0, slash))
    if (table !== undefined) counters[table].set(name.slice(slash + 1), value)
  }

  const flush = async (): Promise<void> => {
    cancelFlush?.()
    cancelFlush = undefined
    if (changed.size === 0) return
    const written = changed
    changed = new Map()
    const write = store.write(
      async (tx) => {
        for (const [name, value] of written) await tx.putVisits(name, value)
      },
      { sync: false },
    )
    await write.catch((error: unknown) => log('warn', 'the counters of visits were not written', { error }))
  }

  const set = (table: TableName, name: string, value: number): void => {
    const counts = counters[table]
    if (!counts.has(name) && counts.size >= maxCounters) {
      const gone = rarest(counts)
      if (gone !== undefined && counts.delete(gone)) changed.set(`${table}/${gone}`, undefined)
    }
    counts.set(name, value)
    changed.set(`${table}/${name}`, value)
    cancelFlush ??= clock.after(limits.visitsMs, () => void flush())
  }

  const count = (table: 'pol' | 'lookup', name: string): void => set(table, name, (counters[table].get(name) ?? 0) + 1)

  return {
    record(visit) {
      set('time', 'visit', clock.now())
      if (visit.verb === 'pkam') set('time', 'pkam', clock.now())
      if (visit.verb === 'pol') count('pol', visit.atSign)
      if (visit.verb !== 'lookup') return
      const { entity, owner } = visit.key
      // What servers read of each other's proofs is nothing that anybody asks about (page 01, 9.10).
      if (!entity.startsWith('_')) count('lookup', `${entity}${owner ?? ''}`)
    },
    topAtSigns: () => top(counters.pol),
    topKeys: () => top(counters.lookup),
    last: (kind) => counters.time.get(kind),
    close: flush,
  }
}
