import { readdir, readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { readTables } from '../../src/store/level.ts'
import { opened, put, temporary } from './fixtures.ts'

beforeAll(async () => expect(await readTables()).toBeUndefined())

const keys = Array.from({ length: 500 }, (_, number) => `key${number}@alice`)

/** A store whose records lie in tables: it was closed since they were written. */
async function reopened(directory: string) {
  const store = await opened(directory)
  await Promise.all(keys.map((key) => store.write((tx) => put(tx, key, key.padEnd(1_000, '.')))))
  await store.close()
  return opened(directory)
}

/** Files of LevelDB that this process has mapped into memory. */
const mapped = async (): Promise<string[]> => (await readFile('/proc/self/maps', 'utf8')).match(/\S+\.ldb$/gm) ?? []

test('tables are read, not mapped into memory', async () => {
  const directory = await temporary()
  const store = await reopened(directory)
  for (const key of keys) expect((await store.records.get(key))?.value).toBe(key.padEnd(1_000, '.'))
  expect(await mapped()).toEqual([])
})

test('a table that the card cannot read any more costs its records, and neither the process nor what comes', async () => {
  const directory = await temporary()
  const store = await reopened(directory)
  expect((await store.records.get('key1@alice'))?.value).toBeDefined()
  const level = join(directory, 'level')
  const tables = (await readdir(level)).filter((name) => name.endsWith('.ldb'))
  expect(tables).not.toEqual([])
  for (const table of tables) await truncate(join(level, table), 0)
  const unread = { code: 'AT0002', closes: false }
  for (const key of keys.slice(400)) await expect(async () => store.records.get(key)).rejects.toMatchObject(unread)
  await store.write((tx) => put(tx, 'new@alice', '1'))
  expect((await store.records.get('new@alice'))?.value).toBe('1')
})
