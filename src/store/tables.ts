import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from './snapshot.ts'
import { checkTable, type TableCheck } from './table-file.ts'

/** A table that is not as it was written. */
export interface HarmedTable extends TableCheck {
  readonly name: string
}

export const isTableName = (name: string): boolean => /^\d+\.(?:ldb|sst)$/.test(name)

/**
 * Looks through the tables of a database that is not open, the newest first: those are about to be read and merged.
 * @param budget bytes after which it stops
 */
export async function harmedTables(path: string, budget: number): Promise<HarmedTable[]> {
  const names = (await readdir(path)).filter(isTableName)
  names.sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))
  const harmed: HarmedTable[] = []
  let read = 0
  for (const name of names) {
    if (read >= budget) break
    const bytes = await readFile(join(path, name))
    read += bytes.length
    const check = checkTable(bytes)
    if (check.soundness !== 'sound') harmed.push({ name, ...check })
  }
  return harmed
}

/** Puts what is right in place of harmed tables; one that is beyond use goes. Set a copy aside first. */
export async function replaceTables(path: string, harmed: readonly HarmedTable[]): Promise<void> {
  for (const { name, bytes } of harmed) {
    const target = join(path, name)
    if (bytes === undefined) {
      await rm(target)
      continue
    }
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
    if (names.length === 0) names = (await readdir(path)).filter(isTableName)
    const name = names.pop()
    const bytes = name === undefined ? undefined : await readFile(join(path, name)).catch(() => undefined)
    credit = Math.min(credit, more) - (bytes?.length ?? 0)
    return bytes === undefined || checkTable(bytes).soundness === 'sound' ? undefined : name
  }
}
