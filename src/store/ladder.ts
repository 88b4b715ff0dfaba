import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { AtSign } from '../core/at-sign.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { type Database, openDatabase, repairDatabase } from './database.ts'
import { type Losses, named } from './health.ts'
import { isInUse } from './in-use.ts'
import { flawOf } from './manifest.ts'
import type { Soundness } from './mend.ts'
import { openReadOnly, whyUnwritable } from './read-only.ts'
import { hasCode, reasonOf, StoreRefusal } from './refusal.ts'
import { inspectLogs, type Salvage } from './salvage.ts'
import { moveAside, setAside } from './set-aside.ts'
import { restoreNewest } from './snapshot-files.ts'
import { harmedTables, removeStrays, replaceTable } from './tables.ts'

/** Name of the folder of LevelDB inside the folder of a store. */
export const databaseName = 'level'

/** What the ladder stands on. */
export interface Ladder {
  /** Folder of the store. */
  readonly directory: string
  /** The store was there before: nothing is made anew while anything else can be done. */
  readonly provisioned: boolean
  readonly losses: Losses
  readonly log: Log
  readonly atSign: AtSign
  /** The run before this one did not end well, perhaps of damage: every table is looked through. */
  readonly thorough: boolean
  /** Format that this program reads. */
  readonly format: number
  /** Folder of the snapshots, should there be one. */
  readonly snapshots: string | undefined
}

/** An opened database, and whether commit ids may have been issued that it does not know. */
export interface Climbed {
  readonly database: Database
  readonly forgetful: boolean
}

const isData = (name: string): boolean => /\.(?:ldb|sst|log)$/.test(name)

/** What `identity` and every change write into every database of atedge. */
const marks = ['!identity!', '!meta!commit', '!records!', '!commits!']

/** Whether a database without a marker beside it is one of atedge, told by its bytes: opening it would change it. */
async function isForeign(path: string, files: readonly string[]): Promise<boolean> {
  let bytes = 0
  for (const name of files.filter(isData)) {
    const content = await readFile(join(path, name))
    if (marks.some((mark) => content.includes(mark))) return false
    bytes += content.length
  }
  return bytes > 0
}

const refuse = (reason: 'locked' | 'unreadable' | 'foreign', directory: string, why: string, cause?: unknown) =>
  new StoreRefusal(reason, `the store in ${directory} ${why}`, cause)

async function filesIn({ directory, provisioned }: Ladder, path: string): Promise<string[]> {
  try {
    if (!provisioned) await mkdir(path, { recursive: true, mode: 0o700 })
    return await readdir(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw refuse('unreadable', directory, `cannot be read: ${reasonOf(error)}`, error)
  }
}

/** Writes again what LevelDB has dropped around damage in its log, which it never mentions. */
async function replay(
  database: Database,
  { operations, lost, batches, files }: Salvage,
  losses: Losses,
): Promise<void> {
  if (files.length === 0) return
  await database.batch(operations, true)
  const where = files.join(', ')
  if (batches === 0) {
    losses.step(`a flipped bit in ${where} was put right; nothing is lost by it`)
    return
  }
  losses.step(`${batches} changes in ${where} cannot be read; all others were kept`)
  losses.found({ what: 'part of', key: where, cause: `${batches} changes in it cannot be read` })
  for (const full of lost) losses.found({ ...named(full), cause: 'its latest change is lost' })
}

const isDamage = (cause: unknown): boolean => !hasCode(cause, 'LEVEL_LOCKED')

async function plain(ladder: Ladder, path: string): Promise<Database> {
  try {
    return await openDatabase(path, { create: false, repair: () => repair(ladder, path) })
  } catch (cause) {
    if (isDamage(cause)) throw cause
    throw refuse('locked', ladder.directory, 'is in use by another process', cause)
  }
}

/**
 * Puts tables right before LevelDB sees them: it takes damage for data, or dies of it.
 * @param before runs once, before the first of them is changed
 * @returns whether it has to repair
 */
async function mendTables(
  { losses }: Ladder,
  path: string,
  budget: number,
  before: () => Promise<unknown>,
): Promise<boolean> {
  const names: Record<Soundness, string[]> = { sound: [], mended: [], damaged: [] }
  let copied: Promise<unknown> | undefined
  for await (const table of harmedTables(path, budget)) {
    copied ??= before()
    await copied
    await replaceTable(path, table)
    names[table.soundness].push(table.name)
    for (const key of table.lost) {
      losses.found({ what: `part of table ${table.name} up to`, key, cause: 'it cannot be read' })
    }
  }
  if (names.mended.length > 0) {
    losses.step(`flipped bits in ${names.mended.join(', ')} were put right; nothing is lost by them`)
  }
  return names.damaged.length > 0
}

async function repair(ladder: Ladder, path: string): Promise<void> {
  const { directory, losses } = ladder
  const copy = await setAside(directory, path)
  await removeStrays(path)
  await mendTables(ladder, path, Number.POSITIVE_INFINITY, async () => {})
  await repairDatabase(path)
  // What the repair could not use is in the copy.
  await rm(join(path, 'lost'), { recursive: true, force: true })
  losses.step(`the database was repaired; as it was before it lies in ${copy}`)
  losses.opened('repaired')
}

async function restore(ladder: Ladder, path: string): Promise<Database | undefined> {
  const { losses, snapshots, atSign, format, log } = ladder
  if (snapshots === undefined) return undefined
  const restored = await restoreNewest(snapshots, { target: path, atSign, format }, log)
  if (restored === undefined) return undefined
  const database = await plain(ladder, path)
  const time = new Date(restored.time).toISOString()
  losses.step(`the snapshot ${restored.path} of ${time} was restored: later changes are lost`)
  losses.since(restored.time)
  losses.opened('restored')
  return database
}

/** From the newest snapshot, or anew when there is none. */
async function replace(ladder: Ladder, path: string): Promise<Climbed> {
  const { directory, losses } = ladder
  const because = await whyUnwritable(directory)
  if (because !== undefined) throw refuse('unreadable', directory, `is empty and cannot be written: ${because}`)
  await moveAside(directory, path)
  const restored = await restore(ladder, path)
  if (restored !== undefined) return { database: restored, forgetful: false }
  await mkdir(path, { mode: 0o700 })
  const database = await openDatabase(path, { create: true, repair: () => repair(ladder, path) })
  losses.step('nothing of the database can be used, nor any snapshot: it was made anew, and everything in it is lost')
  losses.since(0)
  losses.opened('anew')
  return { database, forgetful: true }
}

async function readOnly(ladder: Ladder, path: string, because: string): Promise<Climbed> {
  const { directory, losses } = ladder
  try {
    const database = await openReadOnly(path, because, () => plain(ladder, path))
    losses.step(`the store was opened for reading only: ${because}`)
    losses.opened('read-only')
    return { database, forgetful: false }
  } catch (cause) {
    throw refuse('unreadable', directory, `can neither be written (${because}) nor read: ${reasonOf(cause)}`, cause)
  }
}

/** Repair, then snapshot; the last rung when the disk takes nothing. */
async function mend(ladder: Ladder, path: string, cause: unknown): Promise<Climbed> {
  const because = await whyUnwritable(path)
  if (because !== undefined) return readOnly(ladder, path, because)
  ladder.losses.step(`the database could not be opened: ${reasonOf(cause)}`)
  try {
    await repair(ladder, path)
    return { database: await plain(ladder, path), forgetful: true }
  } catch (failure) {
    if (failure instanceof StoreRefusal) throw failure
    const full = await whyUnwritable(path)
    if (full !== undefined) return readOnly(ladder, path, full)
    ladder.losses.step(`the repair failed: ${reasonOf(failure)}`)
    return replace(ladder, path)
  }
}

/** Opens a database of which a log holds damage: LevelDB would drop good changes with the bad ones. */
async function openSalvaged(ladder: Ladder, path: string, salvage: Salvage): Promise<Climbed> {
  // A power cut leaves such an end, and then it is no loss; but the changes may have been acknowledged before it was harmed.
  if (salvage.dropped > 0) {
    ladder.log('warn', 'changes at the end of the log cannot be read: commit ids that may be lost stay unused', {
      changes: salvage.dropped,
    })
  }
  // A disk that takes no copy is going to be read only.
  await setAside(ladder.directory, path).catch(() => undefined)
  const { database } = await openOrMend(ladder, path)
  if (database.readOnly() === undefined) await replay(database, salvage, ladder.losses)
  return { database, forgetful: true }
}

/** @returns what cannot be put right without a repair */
async function tableFlaw(ladder: Ladder, path: string): Promise<string | undefined> {
  const budget = ladder.thorough ? Number.POSITIVE_INFINITY : limits.verifyAtOpenBytes
  const isDamaged = await mendTables(ladder, path, budget, () => setAside(ladder.directory, path))
  return isDamaged ? 'its tables are damaged' : undefined
}

async function openOrMend(ladder: Ladder, path: string): Promise<Climbed> {
  try {
    const flaw = (await flawOf(path)) ?? (await tableFlaw(ladder, path))
    if (flaw !== undefined) throw new Error(flaw)
    return { database: await plain(ladder, path), forgetful: false }
  } catch (cause) {
    if (cause instanceof StoreRefusal) throw cause
    return mend(ladder, path, cause)
  }
}

/**
 * Opens the database of a store: as it is; after a copy was set aside, repaired; from the newest snapshot; anew when
 * nothing is left of it; or for reading only when the disk takes no writes. Each rung says in `losses` what it did.
 * @throws StoreRefusal when it is locked, of another program, or cannot even be read
 */
export async function climb(ladder: Ladder): Promise<Climbed> {
  const path = join(ladder.directory, databaseName)
  const files = await filesIn(ladder, path)
  if (!files.some((name) => isData(name) || name === 'CURRENT')) {
    if (ladder.provisioned) return replace(ladder, path)
    return {
      database: await openDatabase(path, { create: true, repair: () => repair(ladder, path) }),
      forgetful: false,
    }
  }
  if (!ladder.provisioned && (await isForeign(path, files))) {
    throw refuse('foreign', ladder.directory, 'is not one of atedge; nothing was changed')
  }
  // Before anything is judged: what another process writes looks damaged at any moment, and a repair would destroy it.
  if (files.includes('CURRENT') && (await isInUse(path))) {
    throw refuse('locked', ladder.directory, 'is in use by another process')
  }
  const salvage = await inspectLogs(path, ladder.thorough).catch(() => undefined)
  return salvage === undefined ? openOrMend(ladder, path) : openSalvaged(ladder, path, salvage)
}
