import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Store } from '../../src/core/storage.ts'
import { opened, put, temporary } from './fixtures.ts'

/** What `provisioned` writes: the number of each is the commit id of its key. */
export const values = Array.from({ length: 40 }, (_, number) => `value ${number}`.padEnd(100, '.'))

/** A store that was written in two sittings, so that it has a table and a log. */
export async function provisioned(): Promise<string> {
  const directory = await temporary()
  for (const half of [values.slice(0, 20), values.slice(20)]) {
    const store = await opened(directory)
    for (const value of half) await store.write((tx) => put(tx, `key${values.indexOf(value)}@alice`, value))
    await store.close()
  }
  return directory
}

/** The folder of the database. */
export const level = (directory: string): string => join(directory, 'level')

/** Files of the database. */
export async function filesLike(directory: string, pattern: RegExp): Promise<string[]> {
  const names = await readdir(level(directory))
  return names.filter((name) => pattern.test(name)).map((name) => join(level(directory), name))
}

/** What is left of `values`. @throws what reading a damaged one throws */
export const readAll = (store: Store) =>
  Promise.all(values.map(async (_, number) => (await store.records.get(`key${number}@alice`))?.value))

/** Writes files as `contents` gives them. */
export async function copyTo(directory: string, files: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await writeFile(join(directory, name), Buffer.from(content, 'base64'))
  }
}
