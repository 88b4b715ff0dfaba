import { copyFile, link, mkdir, open, readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { earliestTime } from '../core/clock-floor.ts'
import { limits } from '../core/limits.ts'
import { hasCode } from './refusal.ts'
import { syncFolder } from './snapshot.ts'

/** Copies kept: the damage that was met first in a row of bad starts is the one worth a look. */
const kept = 2

/** Where copies of a database lie that were made before it was changed. @param directory of the store */
export const asideIn = (directory: string): string => join(directory, 'aside')

/** A second name where the file system has them: LevelDB never changes a file that an earlier opening wrote. */
async function duplicate(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (hasCode(error, 'ENOSPC') || hasCode(error, 'EROFS')) throw error
    await copyFile(from, to)
  }
}

/** Puts every file of a folder, and the folder, on flash. Files that go meanwhile are left out. */
export async function syncFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = await open(join(folder, name), 'r').catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    })
    try {
      await file?.sync()
    } finally {
      await file?.close()
    }
  }
  await syncFolder(folder)
}

/** Numbers of the copies, the oldest first. */
async function copiesIn(directory: string): Promise<number[]> {
  const names = await readdir(asideIn(directory)).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
  return names
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => a - b)
}

/** Removes copies, the oldest first. @param keep so many of the latest stay. @returns how many went */
export async function dropAside(directory: string, keep: number): Promise<number> {
  const copies = await copiesIn(directory)
  const old = copies.slice(0, Math.max(copies.length - keep, 0))
  for (const copy of old) await rm(join(asideIn(directory), `${copy}`), { recursive: true, force: true })
  return old.length
}

/** Removes copies of which nobody has any use after so long a time. @param now a time that can be trusted */
export async function dropOldAside(directory: string, now: number): Promise<void> {
  for (const copy of await copiesIn(directory)) {
    const path = join(asideIn(directory), `${copy}`)
    const { mtimeMs } = await stat(path)
    // Made while the clock was in 1970: its age counts from here.
    if (mtimeMs < earliestTime) await utimes(path, now / 1000, now / 1000)
    else if (now - mtimeMs > limits.asideMs) await rm(path, { recursive: true, force: true })
  }
}

/** Bytes that copies take, besides those of files that they share with the database. */
export async function bytesAside(directory: string, path: string): Promise<number> {
  const counted = new Set<number>()
  const visit = async (folder: string): Promise<number> => {
    let bytes = 0
    for (const name of await readdir(folder).catch(() => [])) {
      const info = await stat(join(folder, name)).catch(() => undefined)
      if (info === undefined || counted.has(info.ino)) continue
      counted.add(info.ino)
      bytes += info.size
    }
    return bytes
  }
  const copies = await copiesIn(directory)
  if (copies.length === 0) return 0
  await visit(path)
  let bytes = 0
  for (const copy of copies) bytes += await visit(join(asideIn(directory), `${copy}`))
  return bytes
}

/** Gives a folder the files of a database under second names, on flash. Nothing of a database that is not there. */
export async function duplicateAll(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true })
  await mkdir(to, { mode: 0o700 })
  const names = await readdir(from).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
  for (const name of names) {
    const file = join(from, name)
    if (!/^(?:LO(?:CK|G)|.*\.new$)/.test(name) && (await stat(file)).isFile()) await duplicate(file, join(to, name))
  }
  await syncFiles(to)
}

/**
 * Keeps a database that is not open as it is, before anything in it is changed. Costs hardly any room: both share their
 * files until LevelDB removes them.
 * @param directory of the store; the copy lies under its `aside`, the older of two goes
 * @returns the name of the copy in there; it is on flash
 */
export async function setAside(directory: string, path: string): Promise<string> {
  const folder = asideIn(directory)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const copy = `${((await copiesIn(directory)).at(-1) ?? 0) + 1}`
  try {
    await dropAside(directory, kept - 1)
    await duplicateAll(path, join(folder, copy))
  } catch (error) {
    await rm(join(folder, copy), { recursive: true, force: true }).catch(() => undefined)
    if (!hasCode(error, 'ENOSPC') || (await dropAside(directory, 0)) === 0) throw error
    await duplicateAll(path, join(folder, copy))
  }
  await syncFolder(folder)
  await syncFolder(directory)
  return copy
}
