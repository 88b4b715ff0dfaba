import { copyFile, link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from './refusal.ts'

/** Copies kept: the damage that was met first in a row of bad starts is the one worth a look. */
const kept = 2

const folderOf = (directory: string): string => join(directory, 'aside')

/** A second name where the file system has them: LevelDB never changes a file that an earlier opening wrote. */
async function duplicate(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (hasCode(error, 'ENOSPC') || hasCode(error, 'EROFS')) throw error
    await copyFile(from, to)
  }
}

async function newPlace(directory: string): Promise<string> {
  const folder = folderOf(directory)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const numbers = (await readdir(folder)).map(Number).filter(Number.isInteger)
  numbers.sort((a, b) => a - b)
  for (const old of numbers.slice(0, Math.max(numbers.length - kept + 1, 0))) {
    await rm(join(folder, `${old}`), { recursive: true, force: true })
  }
  return join(folder, `${(numbers.at(-1) ?? 0) + 1}`)
}

/**
 * Keeps a database that is not open as it is, before anything in it is changed. Costs hardly any room: both share their
 * files until LevelDB removes them.
 * @param directory of the store; the copy lies under its `aside`, the older of two goes
 * @returns the folder of the copy
 */
export async function setAside(directory: string, path: string): Promise<string> {
  const place = await newPlace(directory)
  await mkdir(place, { mode: 0o700 })
  for (const name of await readdir(path)) {
    const file = join(path, name)
    if (!/^LO(?:CK|G)/.test(name) && (await stat(file)).isFile()) await duplicate(file, join(place, name))
  }
  return place
}

/** Moves a database that is of no use any more out of the way, should it be there. */
export async function moveAside(directory: string, path: string): Promise<void> {
  const place = await newPlace(directory)
  await rename(path, place).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error
  })
}
