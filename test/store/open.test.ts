import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { openDatabase } from '../../src/store/database.ts'
import type { Migration } from '../../src/store/migrations.ts'
import { openStore, type StoreSeams } from '../../src/store/store.ts'
import { bare, opened, put, temporary } from './fixtures.ts'

const clock = systemClock

async function provisioned(seams: StoreSeams = {}): Promise<string> {
  const directory = await temporary()
  const store = await opened(directory, {}, seams)
  await store.write((tx) => put(tx, 'phone.wavi@alice', '1'))
  await store.close()
  return directory
}

/** Every file with its content. */
async function contents(directory: string): Promise<Record<string, string>> {
  const names = await readdir(directory, { recursive: true })
  const files: Record<string, string> = {}
  for (const name of names) {
    const path = join(directory, name)
    if ((await stat(path)).isFile()) files[name] = (await readFile(path)).toString('base64')
  }
  return files
}

const step = (to: number, run: Migration['run'] = async () => {}): Migration => ({ to, run })

test('a new store is readable by its owner alone', async () => {
  const directory = await temporary()
  await mkdir(directory)
  await chmod(directory, 0o755)
  await (await opened(directory)).close()
  const mode = async (name: string) => (await stat(join(directory, name))).mode & 0o777
  expect([await mode('.'), await mode('level'), await mode('store.json')]).toEqual([0o700, 0o700, 0o600])
})

test('the store of another atSign is refused and not touched', async () => {
  const directory = await provisioned()
  const before = await contents(directory)
  const opening = openStore({ directory, atSign: '@bob', clock })
  await expect(opening).rejects.toMatchObject({ reason: 'other-atsign', message: expect.stringContaining('@alice') })
  expect(await contents(directory)).toEqual(before)
})

test('the store of another atSign is refused by what is inside it, should its marker be gone', async () => {
  const directory = await provisioned()
  await rm(join(directory, 'store.json'))
  await expect(openStore({ directory, atSign: '@bob', clock })).rejects.toMatchObject({ reason: 'other-atsign' })
  const store = await opened(directory)
  expect((await store.records.get('phone.wavi@alice'))?.value).toBe('1')
})

test('a store of a newer format is refused and not touched', async () => {
  const directory = await provisioned({ migrations: [step(2)] })
  const before = await contents(directory)
  const opening = openStore({ directory, atSign: '@alice', clock })
  await expect(opening).rejects.toMatchObject({ reason: 'newer', message: expect.stringContaining('format 2') })
  expect(await contents(directory)).toEqual(before)
})

test('a database of another program is refused', async () => {
  const directory = await temporary()
  await mkdir(directory)
  const foreign = await openDatabase(join(directory, 'level'), { create: true })
  await foreign.batch([{ key: 'theirs', value: Buffer.from('x') }], true)
  await foreign.close()
  await expect(openStore({ directory, atSign: '@alice', clock })).rejects.toMatchObject({ reason: 'foreign' })
  expect(await readdir(directory)).toEqual(['level'])
})

test('a lost CURRENT file never costs a table, with or without the marker', async () => {
  const directory = await provisioned()
  const current = join(directory, 'level', 'CURRENT')
  const saved = await readFile(current)
  for (const lost of [[current], [current, join(directory, 'store.json')]]) {
    for (const path of lost) await rm(path, { force: true })
    const before = await contents(directory)
    const opening = openStore({ directory, atSign: '@alice', clock })
    await expect(opening).rejects.toMatchObject({ reason: 'missing', message: expect.stringContaining('CURRENT') })
    expect(await contents(directory)).toEqual(before)
  }
  await writeFile(current, saved)
  expect((await (await opened(directory)).records.get('phone.wavi@alice'))?.value).toBe('1')
})

test('a provisioned store whose database is gone is not quietly made anew', async () => {
  const directory = await provisioned()
  await rm(join(directory, 'level'), { recursive: true })
  await expect(openStore({ directory, atSign: '@alice', clock })).rejects.toMatchObject({ reason: 'missing' })
})

test('a damaged manifest is refused with the reason', async () => {
  const directory = await provisioned()
  await writeFile(join(directory, 'level', 'CURRENT'), '')
  const opening = openStore({ directory, atSign: '@alice', clock })
  await expect(opening).rejects.toMatchObject({ reason: 'damaged', message: expect.stringContaining('CURRENT') })
})

test('a damaged identity is restored from the marker, a damaged marker from the identity', async () => {
  const directory = await provisioned()
  const database = await bare(directory)
  await database.batch([{ key: '!identity!store', value: Buffer.from('rubbish') }], true)
  await database.close()
  await (await opened(directory)).close()
  await writeFile(join(directory, 'store.json'), '')
  await (await opened(directory)).close()
  expect(JSON.parse(await readFile(join(directory, 'store.json'), 'utf8'))).toEqual({ format: 1, atSign: '@alice' })
})

test('migrations run once each, in order, from the format that is there', async () => {
  const directory = await provisioned()
  const ran: number[] = []
  const noted = (to: number) =>
    step(to, async (database) => {
      ran.push(to)
      await database.batch([{ key: `!noted!${to}`, value: Buffer.from('x') }], true)
    })
  await (await opened(directory, {}, { migrations: [noted(2)] })).close()
  await (await opened(directory, {}, { migrations: [noted(2), noted(3), noted(4)] })).close()
  expect(ran).toEqual([2, 3, 4])
  const keys: string[] = []
  for await (const key of (await bare(directory)).keys({ prefix: '!noted!' })) keys.push(key)
  expect(keys).toEqual(['!noted!2', '!noted!3', '!noted!4'])
})

test('a migration that fails leaves the format of the last one that did not', async () => {
  const directory = await provisioned()
  const fails = step(3, async () => {
    throw new Error('power cut')
  })
  await expect(opened(directory, {}, { migrations: [step(2), fails] })).rejects.toThrow('power cut')
  let ran = 0
  const counts = async () => {
    ran += 1
  }
  const store = await opened(directory, {}, { migrations: [step(2, counts), step(3, counts)] })
  expect(ran).toBe(1)
  expect((await store.records.get('phone.wavi@alice'))?.value).toBe('1')
})

test('a new store begins at the newest format', async () => {
  let ran = false
  const directory = await temporary()
  const migration = step(2, async () => {
    ran = true
  })
  await opened(directory, {}, { migrations: [migration] })
  expect(ran).toBe(false)
  expect(JSON.parse(await readFile(join(directory, 'store.json'), 'utf8'))).toEqual({ format: 2, atSign: '@alice' })
})
