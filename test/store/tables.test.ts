import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { harmedTables, isTableName, type TableSums } from '../../src/store/tables.ts'
import { opened, put, temporary } from './fixtures.ts'

/** A store that was closed, with what it holds in tables. */
async function closedStore() {
  const directory = await temporary()
  const path = join(directory, 'level')
  const first = await opened(directory)
  await first.write(async (tx) => {
    for (let index = 0; index < 100; index++) await put(tx, `reading${index}.kitchen@alice`, `${index}`.repeat(50))
  })
  await first.close()
  // Opening moves the log into a table.
  await (await opened(directory)).close()
  const names = (await readdir(path)).filter(isTableName)
  const bytesOf = (name: string): Promise<Buffer> => readFile(join(path, name))
  return {
    directory,
    path,
    names,
    bytesOf,
    async noted(): Promise<TableSums> {
      const { tables } = JSON.parse(await readFile(join(directory, 'starts.json'), 'utf8'))
      return new Map(Object.entries(tables as Record<string, number>))
    },
    async flip(name: string): Promise<void> {
      const bytes = await bytesOf(name)
      bytes[100] = (bytes[100] ?? 0) ^ 4
      await writeFile(join(path, name), bytes)
    },
  }
}

async function harmed(path: string, sums: TableSums): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of harmedTables(path, Number.POSITIVE_INFINITY, sums)) names.push(name)
  return names
}

test('a store that is closed notes the sums of its tables, and of no others', async () => {
  const store = await closedStore()
  expect(store.names.length).toBeGreaterThan(0)
  const sums = await Promise.all(store.names.map(async (name) => [name, crc32(await store.bytesOf(name))] as const))
  expect(await store.noted()).toEqual(new Map(sums))
})

test('a table with its sum is not looked through block by block, any other is', async () => {
  const { path, names, bytesOf, flip, noted } = await closedStore()
  const sums = await noted()
  expect(await harmed(path, sums)).toEqual([])
  const [name = ''] = names
  await flip(name)
  expect(await harmed(path, new Map([[name, crc32(await bytesOf(name))]]))).toEqual([])
  expect(await harmed(path, sums)).toEqual([name])
  expect(sums.has(name)).toBe(false)
})

test('a bit that flips in a known table is put right by the next start, and the table is known again', async () => {
  const store = await closedStore()
  const [name = ''] = store.names
  const before = await store.bytesOf(name)
  await store.flip(name)
  const again = await opened(store.directory)
  expect(again.health().report?.steps).toEqual([`flipped bits in ${name} were put right; nothing is lost by them`])
  expect(await again.records.get('reading7.kitchen@alice')).toMatchObject({ value: '7'.repeat(50) })
  await again.close()
  if ((await readdir(store.path)).includes(name)) expect(await store.bytesOf(name)).toEqual(before)
  expect([...(await store.noted()).keys()].sort()).toEqual((await readdir(store.path)).filter(isTableName).sort())
})
