import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { AtSign } from '../core/at-sign.ts'
import type { Log } from '../core/log.ts'
import { type Database, openDatabase } from './database.ts'
import type { Losses } from './health.ts'
import { isInUse } from './in-use.ts'
import { flawOf } from './manifest.ts'
import { type Mending, openMending, Unkept } from './mending.ts'
import { openReadOnly, whyUnwritable } from './read-only.ts'
import { hasCode, reasonOf, StoreRefusal } from './refusal.ts'
import { holdsRecords, mendTables, repair, replay } from './repair.ts'
import { inspectLogs, type Salvage } from './salvage.ts'
import { restoreNewest } from './snapshot-files.ts'
import type { TableSums } from './tables.ts'

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
  /** The run before this one ended, perhaps, of damage: every table is looked through. */
  readonly thorough: boolean
  /** It did not end by itself: the end of the log may be torn. */
  readonly afterCut: boolean
  /** LevelDB itself has said that the files are damaged. */
  readonly corrupt: boolean
  /** Of tables that earlier starts have found sound; this one adds to them. */
  readonly sums: TableSums
  /** Format that this program reads. */
  readonly format: number
  /** Folder of the snapshots, should there be one. */
  readonly snapshots: string | undefined
  /** Seam for tests: told after every step that changes files. */
  readonly changed: (what: string) => Promise<void>
  /** Seam for tests: of the database (database.ts). */
  readonly memtableBytes?: number | undefined
}

/** A ladder on which a database is being opened. */
interface Climb extends Ladder {
  readonly path: string
  readonly mending: Mending
}

/** An opened database, and whether commit ids may have been issued that it does not know. */
export interface Climbed {
  readonly database: Database
  readonly forgetful: boolean
  /** Puts what was mended on flash. Nothing may be told to anybody, and no change taken, before that. */
  readonly settle: () => Promise<void>
}

type Rung = Omit<Climbed, 'settle'>

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

const isFinal = (cause: unknown): boolean => cause instanceof StoreRefusal || cause instanceof Unkept

/** Why nothing can be written to a folder, after copies of earlier damage have given way. */
async function whyFull({ mending }: Climb, folder: string): Promise<string | undefined> {
  const because = await whyUnwritable(folder)
  if (because?.includes('ENOSPC') !== true || (await mending.dropOthers()) === 0) return because
  return whyUnwritable(folder)
}

async function plain({ directory, path, changed, memtableBytes }: Climb): Promise<Database> {
  try {
    const database = await openDatabase(path, { create: false, memtableBytes })
    await changed('the database was opened')
    return database
  } catch (cause) {
    if (!hasCode(cause, 'LEVEL_LOCKED')) throw cause
    throw refuse('locked', directory, 'is in use by another process', cause)
  }
}

/**
 * @param worth what a snapshot has to be
 * @returns undefined when no snapshot can be used; the folder of the database is then not there
 */
async function restore(climb: Climb, worth: 'any' | 'filled'): Promise<Database | undefined> {
  const { directory, losses, snapshots, path: target, atSign, format, log, mending, changed } = climb
  if (snapshots === undefined) return undefined
  const attempt = () => restoreNewest(snapshots, { target, atSign, format, worth }, log)
  const roomier = async (cause: unknown) => {
    if (!hasCode(cause, 'ENOSPC') || (await mending.dropOthers()) === 0) throw cause
    return attempt()
  }
  const restored = await attempt()
    .catch(roomier)
    .catch((cause: unknown) => {
      const why = `is beyond repair, and its latest snapshot cannot be restored (${reasonOf(cause)}): make room on the disk`
      throw refuse('unreadable', directory, why, cause)
    })
  if (restored === undefined) return undefined
  await changed('a snapshot was restored')
  const database = await plain(climb)
  const time = new Date(restored.time).toISOString()
  losses.step(`the snapshot ${restored.path} of ${time} was restored: later changes are lost`)
  losses.since(restored.time)
  losses.opened('restored')
  return database
}

/** From the newest snapshot, or anew when there is none. */
async function replace(climb: Climb): Promise<Rung> {
  const { directory, losses, path, mending, changed, memtableBytes } = climb
  const because = await whyFull(climb, directory)
  if (because !== undefined) throw refuse('unreadable', directory, `is empty and cannot be written: ${because}`)
  await mending.begin()
  await rm(path, { recursive: true, force: true })
  await changed('the database was removed')
  const restored = await restore(climb, 'any')
  if (restored !== undefined) return { database: restored, forgetful: false }
  await mkdir(path, { mode: 0o700 })
  const database = await openDatabase(path, { create: true, memtableBytes })
  await changed('a database was made anew')
  losses.step('nothing of the database can be used, nor any snapshot: it was made anew, and everything in it is lost')
  losses.since(0)
  losses.opened('anew')
  return { database, forgetful: true }
}

async function readOnly(climb: Climb, because: string): Promise<Rung> {
  const { directory, losses, mending } = climb
  try {
    const source = mending.source()
    const salvage = await inspectLogs(source, mending.afterCut)
    const database = await openReadOnly(source, because, async (copy) => {
      if (salvage !== undefined) await replay(climb, copy, salvage)
    })
    losses.step(`the store was opened for reading only: ${because}`)
    losses.opened('read-only')
    return { database, forgetful: false }
  } catch (cause) {
    throw refuse('unreadable', directory, `can neither be written (${because}) nor read: ${reasonOf(cause)}`, cause)
  }
}

/** A repair that found no record is worth less than a snapshot that holds some. */
async function orSnapshot(climb: Climb, repaired: Database): Promise<Database> {
  const { path, snapshots, losses, changed } = climb
  if (snapshots === undefined || (await holdsRecords(repaired))) return repaired
  await repaired.close()
  const beside = `${path}.repaired`
  await rm(beside, { recursive: true, force: true })
  await rename(path, beside)
  await changed('what was repaired was moved')
  const restored = await restore(climb, 'filled')
  if (restored !== undefined) {
    losses.step('the repair had found no record')
    await rm(beside, { recursive: true, force: true })
    return restored
  }
  await rename(beside, path)
  return plain(climb)
}

/** Repair, then snapshot; the last rung when the disk takes nothing. */
async function mend(climb: Climb, cause: unknown): Promise<Rung> {
  const { path, losses } = climb
  const because = await whyFull(climb, path)
  if (because !== undefined) return readOnly(climb, because)
  losses.step(`the database could not be opened: ${reasonOf(cause)}`)
  try {
    await repair(climb)
    return { database: await orSnapshot(climb, await plain(climb)), forgetful: true }
  } catch (failure) {
    if (isFinal(failure)) throw failure
    const full = await whyFull(climb, path)
    if (full !== undefined) return readOnly(climb, full)
    losses.step(`the repair failed: ${reasonOf(failure)}`)
    return replace(climb)
  }
}

/** Opens a database of which a log holds damage: LevelDB would drop good changes with the bad ones. */
async function openSalvaged(climb: Climb, salvage: Salvage): Promise<Rung> {
  // A power cut leaves such an end, and then it is no loss; but the changes may have been acknowledged before it was harmed.
  if (salvage.dropped > 0) {
    climb.log('warn', 'changes at the end of the log cannot be read: commit ids that may be lost stay unused', {
      changes: salvage.dropped,
    })
  }
  await climb.mending.begin()
  const { database } = await openOrMend(climb)
  if (database.readOnly() === undefined) await replay(climb, database, salvage)
  return { database, forgetful: true }
}

async function openOrMend(climb: Climb): Promise<Rung> {
  try {
    const told = climb.corrupt ? 'LevelDB met damage in it' : undefined
    const flaw = told ?? (await flawOf(climb.path)) ?? (await mendTables(climb, climb.thorough))
    if (flaw !== undefined) throw new Error(flaw)
    return { database: await plain(climb), forgetful: climb.mending.isInterrupted }
  } catch (cause) {
    if (isFinal(cause)) throw cause
    return mend(climb, cause)
  }
}

/** What a start that was cut off has left beside and in the database. */
async function removeLeftovers(path: string, files: readonly string[]): Promise<void> {
  for (const name of files) if (/^\.probe$|\.new$/.test(name)) await rm(join(path, name), { force: true })
  for (const end of ['back', 'repaired', 'restoring']) await rm(`${path}.${end}`, { recursive: true, force: true })
}

async function open(climb: Climb): Promise<Rung> {
  const { path, mending, provisioned, memtableBytes } = climb
  await mending.goBack()
  const files = await filesIn(climb, path)
  // A disk that takes no changes says so below.
  await removeLeftovers(path, files).catch(() => undefined)
  if (!files.some((name) => isData(name) || name === 'CURRENT')) {
    if (provisioned) return replace(climb)
    return { database: await openDatabase(path, { create: true, memtableBytes }), forgetful: false }
  }
  const salvage = await inspectLogs(path, mending.afterCut).catch(() => undefined)
  return salvage === undefined ? openOrMend(climb) : openSalvaged(climb, salvage)
}

/** @throws StoreRefusal when the database is of another program, or in use */
async function assertOwn(ladder: Ladder, path: string): Promise<void> {
  const files = await filesIn(ladder, path)
  if (!ladder.provisioned && (await isForeign(path, files))) {
    throw refuse('foreign', ladder.directory, 'is not one of atedge; nothing was changed')
  }
  // Before anything is judged: what another process writes looks damaged at any moment, and a repair would destroy it.
  if (files.includes('CURRENT') && (await isInUse(path))) {
    throw refuse('locked', ladder.directory, 'is in use by another process')
  }
}

/**
 * Opens the database of a store: as it is; after a copy was set aside, repaired; from the newest snapshot; anew when
 * nothing is left of it; or for reading only when the disk takes no writes. Each rung says in `losses` what it did.
 * @throws StoreRefusal when it is locked, of another program, or cannot even be read
 */
export async function climb(ladder: Ladder): Promise<Climbed> {
  const { directory, afterCut, changed } = ladder
  const path = join(directory, databaseName)
  await assertOwn(ladder, path)
  const mending = await openMending({ directory, path, afterCut, changed })
  const climb: Climb = { ...ladder, path, mending, thorough: ladder.thorough || mending.isInterrupted }
  if (mending.isInterrupted)
    ladder.log('warn', 'an earlier start was cut off while it put the store right: it is done anew')
  if (mending.isInterrupted && mending.source() === path) {
    ladder.losses.step('an earlier start was cut off while it put the store right, and the copy from before is gone')
  }
  const rung = await open(climb).catch((cause: unknown) => {
    if (cause instanceof Unkept) return readOnly(climb, cause.message)
    throw cause
  })
  return { ...rung, settle: mending.settle }
}
