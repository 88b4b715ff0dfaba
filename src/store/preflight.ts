import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isInUse } from './in-use.ts'
import { databaseName } from './ladder.ts'
import { flawOf } from './manifest.ts'
import { isMending } from './mending.ts'
import { reasonOf } from './refusal.ts'
import { inspectLogs } from './salvage.ts'
import { harmedTables } from './tables.ts'

async function flawIn(directory: string): Promise<string | undefined> {
  const path = join(directory, databaseName)
  const files = await readdir(path)
  if (!files.includes('CURRENT')) return 'its CURRENT file is missing'
  // What another process writes looks damaged at any moment; opening says that it is in use.
  if (await isInUse(path)) return undefined
  if (await isMending(directory)) return 'a start was cut off while it put it right'
  const flaw = await flawOf(path)
  if (flaw !== undefined) return flaw
  const harmed: string[] = []
  for await (const { name } of harmedTables(path, Number.POSITIVE_INFINITY)) harmed.push(name)
  if (harmed.length > 0) return `damaged: ${harmed.join(', ')}`
  const salvage = await inspectLogs(path, true)
  return salvage === undefined || salvage.files.length === 0 ? undefined : `damaged: ${salvage.files.join(', ')}`
}

/**
 * Whether opening a store would put right, restore or make anew what is in it. Changes nothing.
 * @param directory of a store that was provisioned
 * @returns what is wrong with it; undefined when it is sound or in use
 */
export const flawOfStore = (directory: string): Promise<string | undefined> =>
  flawIn(directory).catch((cause: unknown) => reasonOf(cause))
