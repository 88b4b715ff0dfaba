import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Store } from '../../src/core/storage.ts'
import { opened, put, temporary } from './fixtures.ts'

const keys = Array.from({ length: 200 }, (_, number) => `key${number}@alice`)

/** Bytes of all files of LevelDB that end like this. */
async function bytesOf(directory: string, end: '.log' | '.ldb'): Promise<number> {
  const level = join(directory, 'level')
  const names = (await readdir(level)).filter((name) => name.endsWith(end))
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(level, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

async function fill(store: Store, chars: number): Promise<void> {
  await Promise.all(keys.map((key) => store.write((tx) => put(tx, key, key.padEnd(chars, '.')))))
}

test('a store that is closed leaves no log that the next start would have to read', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  await fill(store, 1_000)
  await store.close()
  expect(await bytesOf(directory, '.log')).toBe(0)
  const again = await opened(directory)
  for (const key of keys) expect((await again.records.get(key))?.value).toBe(key.padEnd(1_000, '.'))
  expect(again.health()).toMatchObject({ state: 'sound' })
})

test('of a few changes no table is made when it is closed', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  await fill(store, 10)
  await store.close()
  expect(await bytesOf(directory, '.log')).toBeGreaterThan(0)
  expect(await bytesOf(directory, '.ldb')).toBe(0)
})
