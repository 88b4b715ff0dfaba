import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../core/limits.ts'
import { type Database, repairDatabase } from './database.ts'
import { type Losses, named } from './health.ts'
import { isOwnersRecord, tables } from './layout.ts'
import type { Soundness } from './mend.ts'
import type { Mending } from './mending.ts'
import type { Salvage } from './salvage.ts'
import { harmedTables, removeStrays, replaceTable, type TableSums } from './tables.ts'

/** A database that is not open and has to be put right. */
export interface Patient {
  /** Folder of the database. */
  readonly path: string
  readonly losses: Losses
  readonly mending: Mending
  /** Of tables that were found sound before; what is found sound now is added. */
  readonly sums: TableSums
  /** Told after every step that changes files. */
  readonly changed: (what: string) => Promise<void>
}

/** Writes again what LevelDB has dropped around damage in its log, which it never mentions. */
export async function replay({ losses, changed }: Patient, database: Database, salvage: Salvage): Promise<void> {
  const { operations, lost, batches, files } = salvage
  if (files.length === 0) return
  await database.batch(operations, true)
  await changed('the log was written again')
  const where = files.join(', ')
  if (batches === 0) {
    losses.step(`a flipped bit in ${where} was put right; nothing is lost by it`)
    return
  }
  losses.step(`${batches} changes in ${where} cannot be read; all others were kept`)
  losses.found({ what: 'part of', key: where, cause: `${batches} changes in it cannot be read` })
  for (const full of lost) losses.found({ ...named(full), cause: 'its latest change is lost' })
}

/**
 * Puts tables right before LevelDB sees them: it takes damage for data, or dies of it.
 * @param thorough looks through all of them instead of the newest
 * @returns what cannot be put right without a repair
 */
export async function mendTables(
  { path, losses, mending, sums, changed }: Patient,
  thorough: boolean,
): Promise<string | undefined> {
  const names: Record<Soundness, string[]> = { sound: [], mended: [], damaged: [] }
  const budget = thorough ? Number.POSITIVE_INFINITY : limits.verifyAtOpenBytes
  for await (const table of harmedTables(path, budget, sums)) {
    await mending.begin()
    await replaceTable(path, table)
    await changed(`the table ${table.name} was put right`)
    names[table.soundness].push(table.name)
    for (const key of table.lost) {
      losses.found({ what: `part of table ${table.name} up to`, key, cause: 'it cannot be read' })
    }
  }
  if (names.mended.length > 0) {
    losses.step(`flipped bits in ${names.mended.join(', ')} were put right; nothing is lost by them`)
  }
  return names.damaged.length > 0 ? 'its tables are damaged' : undefined
}

/** Rebuilds a database from what can be read of it. */
export async function repair(patient: Patient): Promise<void> {
  const { path, losses, mending, changed } = patient
  const copy = await mending.begin()
  await removeStrays(path)
  await changed('stray tables were removed')
  await mendTables(patient, true)
  await repairDatabase(path)
  await changed('the database was repaired')
  // What the repair could not use is in the copy.
  await rm(join(path, 'lost'), { recursive: true, force: true })
  losses.step(`the database was repaired; as it was before it lies in ${copy}`)
  losses.opened('repaired')
}

/** Whether a database holds any record besides the one that every store makes for itself. */
export async function holdsRecords(database: Database): Promise<boolean> {
  for await (const key of database.keys({ prefix: tables.records.prefix, limit: 2 })) {
    if (isOwnersRecord(key)) return true
  }
  return false
}
