import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { namedTables } from './manifest.ts'
import { syncFolder } from './snapshot.ts'
import { checkTable, type TableCheck } from './table-file.ts'

/** A table that is not as it was written. */
export interface HarmedTable extends TableCheck {
  readonly name: string
}

/**
 * CRC-32 of whole tables that were looked through and found sound, by name. LevelDB never changes a table, so one that still
 * has its sum is sound: a look at 16 MiB takes 7 ms then, where the sums of all blocks take 30 to 100.
 */
export type TableSums = Map<string, number>

export const isTableName = (name: string): boolean => /^\d+\.(?:ldb|sst)$/.test(name)

const numberOf = (name: string): number => Number.parseInt(name, 10)

/** Tables of a database; those that its MANIFEST does not name, half-written ones among them, are none of it. */
async function tableNames(path: string): Promise<{ all: string[]; own: string[]; isCertain: boolean }> {
  const known = await namedTables(path)
  const all = (await readdir(path)).filter(isTableName)
  const own = known === undefined ? all : all.filter((name) => known.has(numberOf(name)))
  return { all, own, isCertain: known !== undefined && own.length >= known.size }
}

/** Tables differ a little in size: the first one makes room for the others. */
const roomUnit = 1_048_576

/** Reads files one after another into the same memory: what one gave is gone when the next one is read. */
function createReader(): (path: string) => Promise<Buffer> {
  let room = Buffer.alloc(0)
  return async (path) => {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      if (room.length < size) room = Buffer.allocUnsafeSlow(Math.ceil(size / roomUnit) * roomUnit)
      let end = 0
      for (let more = 1; more > 0; end += more) more = (await file.read(room, end, size - end)).bytesRead
      return room.subarray(0, end)
    } finally {
      await file.close()
    }
  }
}

/**
 * Looks through the tables of a database that is not open, the newest first: those are about to be read and merged.
 * @param budget bytes after which it stops
 * @param sums of tables that are known; those that are found sound are added
 * @returns tables whose bytes are good until the next one is asked for
 */
export async function* harmedTables(
  path: string,
  budget: number,
  sums: TableSums = new Map(),
): AsyncGenerator<HarmedTable> {
  const { own } = await tableNames(path)
  own.sort((a, b) => numberOf(b) - numberOf(a))
  // A buffer for each would stay in the memory of the process for as long as it runs.
  const readTable = createReader()
  let read = 0
  for (const name of own) {
    if (read >= budget) break
    const bytes = await readTable(join(path, name))
    read += bytes.length
    if (sums.has(name) && sums.get(name) === crc32(bytes)) continue
    sums.delete(name)
    const check = checkTable(bytes)
    if (check.soundness === 'sound') sums.set(name, crc32(bytes))
    else yield { name, ...check }
  }
}

/** Learns the sums of the newest tables of a database that was closed, and forgets those of tables that are gone. */
export async function learnTables(path: string, budget: number, sums: TableSums): Promise<void> {
  const names = new Set(await readdir(path))
  for (const name of sums.keys()) if (!names.has(name)) sums.delete(name)
  for await (const _ of harmedTables(path, budget, sums)) {
    // The next start finds it again, and puts it right.
  }
}

/** Puts what is right in place of a harmed table; one that is beyond use goes. Set a copy aside first. */
export async function replaceTable(path: string, { name, bytes }: HarmedTable): Promise<void> {
  const target = join(path, name)
  if (bytes === undefined) await rm(target)
  else {
    const file = await open(`${target}.new`, 'w', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${target}.new`, target)
  }
  await syncFolder(path)
}

/**
 * Removes tables that are none of a database before it is repaired: a repair takes in every table that it finds. All stay
 * when one is missing, for the MANIFEST may be an old one then. Set a copy aside first.
 */
export async function removeStrays(path: string): Promise<void> {
  const { all, own, isCertain } = await tableNames(path)
  if (!isCertain) return
  for (const name of all) if (!own.includes(name)) await rm(join(path, name))
}

/**
 * Looks through the tables of a database in use, round after round. They never change, but may go.
 * @returns a function that may read so many bytes more, and names a table that is not as it was written
 */
export function createPatrol(path: string): (bytes: number) => Promise<string | undefined> {
  let names: string[] = []
  let credit = 0
  return async (more) => {
    credit += more
    // A table is read whole, and paid for afterwards.
    if (credit <= 0) return undefined
    if (names.length === 0) {
      const { own, isCertain } = await tableNames(path)
      // LevelDB is about to change its list: another time, then.
      names = isCertain ? own : []
    }
    const name = names.pop()
    const bytes = name === undefined ? undefined : await readFile(join(path, name)).catch(() => undefined)
    credit = Math.min(credit, more) - (bytes?.length ?? 0)
    return bytes === undefined || checkTable(bytes).soundness === 'sound' ? undefined : name
  }
}
