import type { ScrubProgress } from '../core/health.ts'
import type { Committed } from './committed.ts'
import type { Database } from './database.ts'
import { examine, type Reader } from './examine.ts'
import { type Losses, named } from './health.ts'
import { type Table, tables } from './layout.ts'
import { reasonOf } from './refusal.ts'
import { unseal } from './seal.ts'
import type { Writer } from './writer.ts'

/** Rows between two turns of everybody else. */
const stretch = 32
/** Bytes after which the place is written down, and at the end of a run. */
const noteEvery = 4 * 1024 * 1024
const noteAtEnd = 1024 * 1024

/** The check of everything stored, a part at a time, round after round. */
export interface Scrub {
  /**
   * Reads on where it stopped, also before a restart.
   * @param bytes roughly how many to read
   * @returns how many were read; fewer when the end was reached, where the next round begins
   */
  step(bytes: number): Promise<number>
  /** Reads from the beginning, before anything else happens, after damage was met. */
  begin(bytes: number): Promise<void>
  progress(): ScrubProgress
  /** Writes the place down. */
  note(): Promise<void>
}

const listed: readonly Table<unknown>[] = Object.values(tables)
const tableOf = (full: string): Table<unknown> | undefined => listed.find(({ prefix }) => full.startsWith(prefix))

interface Suspect {
  readonly table: Table<unknown>
  readonly key: string
}

/** The latest entries of some keys in the commit log. */
async function latestEntries(committed: Committed, keys: ReadonlySet<string>): Promise<Map<string, number>> {
  const latest = new Map<string, number>()
  if (keys.size === 0) return latest
  for await (const [, { key, commitId }] of committed.rows(tables.commits)) if (keys.has(key)) latest.set(key, commitId)
  return latest
}

/** Makes the scrub of one store. */
export function createScrub(parts: {
  database: Database
  committed: Committed
  writer: Writer
  losses: Losses
}): Scrub {
  const { database, committed, writer, losses } = parts
  const raw: Reader = { tryGet: committed.peek }
  let rounds = 0
  let bytes = 0
  let unnoted = 0
  let place: string | undefined

  /** Looks again in order with all changes, and puts right what can be. */
  async function settle(suspects: readonly Suspect[]): Promise<void> {
    const contested = new Set<string>()
    for (const { table, key } of suspects) {
      const row = committed.peek(table, key)
      for (const flaw of row === undefined ? [] : examine(raw, table, key, row)) {
        if (flaw.contested !== undefined) contested.add(flaw.contested)
      }
    }
    const latest = await latestEntries(committed, contested)
    await writer.write(async (draft) => {
      for (const { table, key } of suspects) {
        const row = draft.tryGet(table, key)
        for (const { lost, contested: name, heal } of row === undefined ? [] : examine(draft, table, key, row)) {
          if (lost !== undefined) losses.found(lost)
          const isOlder = name !== undefined && latest.has(name)
          if (heal === undefined || isOlder || database.readOnly() !== undefined) continue
          heal(draft)
          losses.healed()
        }
      }
    }, 'none')
  }

  /** A row that is there in order but not found by its key: a flipped bit in a filter or index of LevelDB hides it. */
  async function uncover(full: string, table: Table<unknown>, key: string): Promise<void> {
    await writer.write(async (draft) => {
      if (draft.isStaged(table, key) || committed.peek(table, key) !== undefined) return
      for await (const [again, stored] of database.scan({ prefix: full, limit: 1 })) {
        const row = again === full ? committed.decode(table, key, stored) : undefined
        if (row === undefined) return
        draft.put(table, key, row)
        losses.healed()
      }
    }, 'group')
  }

  async function check(full: string, stored: Uint8Array, suspects: Suspect[]): Promise<void> {
    const table = tableOf(full)
    if (table === undefined) {
      // A table of a newer version is sealed as well.
      if (unseal(full, stored) === undefined) losses.found({ ...named(full), cause: 'its checksum does not match' })
      return
    }
    const key = full.slice(table.prefix.length)
    const row = committed.decode(table, key, stored)
    if (row === undefined) return
    if (committed.peek(table, key) === undefined) await uncover(full, table, key)
    else if (examine(raw, table, key, row).length > 0) suspects.push({ table, key })
  }

  async function note(): Promise<void> {
    if (place === undefined || unnoted < noteAtEnd || database.readOnly() !== undefined) return
    const at = place
    unnoted = 0
    await writer.write(async (draft) => draft.put(tables.notes, scrubKey, at), 'none')
  }

  async function step(budget: number): Promise<number> {
    await database.ready()
    const from = place ?? committed.peek(tables.notes, scrubKey) ?? ''
    const suspects: Suspect[] = []
    let read = 0
    let rows = 0
    let last = from
    try {
      for await (const [full, stored] of database.scan({ prefix: '', ...(from === '' ? {} : { gt: from }) })) {
        await check(full, stored, suspects)
        last = full
        rows += 1
        read += full.length + stored.length
        if (rows % stretch === 0) await new Promise(setImmediate)
        if (read >= budget) break
      }
    } catch (error) {
      if (!database.isOpen()) throw error
      const { what, key } = named(from)
      losses.found({ what: `part of the database behind ${what}`, key, cause: reasonOf(error) })
    }
    if (suspects.length > 0) await settle(suspects)
    const ended = read < budget
    if (ended) rounds += 1
    place = ended ? '' : last
    bytes += read
    unnoted += read
    if (unnoted >= noteEvery) await note()
    return read
  }

  return {
    step,
    async begin(budget) {
      place = ''
      await step(budget)
    },
    progress: () => ({ rounds, bytes }),
    note,
  }
}

const scrubKey = 'scrub'
