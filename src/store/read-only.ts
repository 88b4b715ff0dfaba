import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limits } from '../core/limits.ts'
import { type Database, openDatabase, repairDatabase } from './database.ts'
import { hasCode, reasonOf } from './refusal.ts'
import { harmedTables, isTableName, removeStrays, replaceTable } from './tables.ts'

// LevelDB cannot open a database without writing. So it gets a folder in memory, in which tables, which never change,
// are links to the real ones, and the few small files that change are copies.

/** Folders to try, memory first: a temporary folder may lie on the same full disk. */
const parents = ['/dev/shm', tmpdir()]

const isOwn = (name: string): boolean => isTableName(name) || /^(?:CURRENT|MANIFEST-\d+|\d+\.log)$/.test(name)

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return hasCode(error, 'EPERM')
  }
}

/** Removes what processes left that were killed. */
async function tidy(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue
    const pid = Number(name.slice(prefix.length).split('-')[0])
    if (Number.isInteger(pid) && !isAlive(pid)) await rm(join(parent, name), { recursive: true, force: true })
  }
}

async function makeShadow(parent: string, path: string): Promise<string> {
  const prefix = `atedge-${createHash('sha256').update(path).digest('hex').slice(0, 12)}-`
  await tidy(parent, prefix)
  const shadow = await mkdtemp(join(parent, `${prefix}${process.pid}-`))
  for (const name of (await readdir(path)).filter(isOwn)) {
    if (isTableName(name)) await symlink(join(path, name), join(shadow, name))
    else await copyFile(join(path, name), join(shadow, name))
  }
  // Links go, and LevelDB writes its next table through none of them; what they lead to stays.
  await removeStrays(shadow)
  // Links are replaced, never what they lead to.
  for await (const table of harmedTables(shadow, limits.verifyAtOpenBytes)) await replaceTable(shadow, table)
  return shadow
}

async function openShadow(shadow: string): Promise<Database> {
  try {
    return await openDatabase(shadow, { create: false })
  } catch {
    await repairDatabase(shadow)
    return await openDatabase(shadow, { create: false })
  }
}

/** Why nothing can be written to a folder now. @returns undefined when it can */
export async function whyUnwritable(path: string): Promise<string | undefined> {
  const probe = join(path, '.probe')
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    await writeFile(probe, Buffer.alloc(probeBytes), { flush: true })
    return undefined
  } catch (error) {
    return reasonOf(error)
  } finally {
    await rm(probe, { force: true }).catch(() => undefined)
  }
}

/** What opening and repairing need at the least. */
const probeBytes = 512 * 1024

/**
 * Opens a database for reading without touching it.
 * @param path of the real one
 * @param because why it cannot be written
 * @param prepare what is to be changed in the copy of its small files before it is read
 */
export async function openReadOnly(
  path: string,
  because: string,
  prepare: (copy: Database) => Promise<void> = async () => {},
): Promise<Database> {
  let failure: unknown
  for (const parent of parents) {
    let shadow: string | undefined
    try {
      shadow = await makeShadow(parent, path)
      const copy = await openShadow(shadow)
      await prepare(copy)
      return readOnly(copy, shadow, because)
    } catch (error) {
      failure = error
      if (shadow !== undefined) await rm(shadow, { recursive: true, force: true })
    }
  }
  throw failure
}

const readOnly = (copy: Database, shadow: string, because: string): Database => ({
  ...copy,
  batch: () => Promise.reject(new Error(`it was opened for reading only (${because})`)),
  isLogEnding: async () => false,
  syncLog: async () => {},
  readOnly: () => because,
  tablesWritten: () => 0,
  compact: async () => {},
  async close() {
    await copy.close()
    await rm(shadow, { recursive: true, force: true })
  },
})
