import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { openDatabase } from '../../src/store/database.ts'
import { formatVersion } from '../../src/store/layout.ts'
import type { Migration } from '../../src/store/migrations.ts'
import { openStore, type StoreSeams } from '../../src/store/store.ts'
import { bare, contents, opened, put, temporary } from './fixtures.ts'

const clock = systemClock

async function provisioned(seams: StoreSeams = {}): Promise<string> {
  const directory = await temporary()
  const store = await opened(directory, {}, seams)
  await store.write((tx) => put(tx, 'phone.wavi@alice', '1'))
  await store.close()
  return directory
}

/** A format that does not exist yet. */
const next = formatVersion + 1

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
  const directory = await provisioned({ migrations: [step(next)] })
  const before = await contents(directory)
  const opening = openStore({ directory, atSign: '@alice', clock })
  await expect(opening).rejects.toMatchObject({ reason: 'newer', message: expect.stringContaining(`format ${next}`) })
  expect(await contents(directory)).toEqual(before)
})

test('a database of another program is refused', async () => {
  const directory = await temporary()
  await mkdir(directory)
  const foreign = await openDatabase(join(directory, 'level'), { create: true })
  await foreign.batch([{ key: 'theirs', value: Buffer.from('x') }], true)
  await foreign.close()
  const before = await contents(directory)
  await expect(openStore({ directory, atSign: '@alice', clock })).rejects.toMatchObject({ reason: 'foreign' })
  expect(await contents(directory)).toEqual(before)
})

test('a marker in which one bit is flipped is not believed', async () => {
  const directory = await provisioned()
  const marker = join(directory, 'store.json')
  const text = await readFile(marker, 'utf8')
  for (const [was, is] of [
    ['"@alice"', '"@clice"'],
    ['"format":1', '"format":3'],
  ] as const) {
    await writeFile(marker, text.replace(was, is))
    await (await opened(directory)).close()
    expect(await readFile(marker, 'utf8')).toBe(text)
  }
})

test('a damaged identity is restored from the marker, a damaged marker from the identity', async () => {
  const directory = await provisioned()
  const database = await bare(directory)
  await database.batch([{ key: '!identity!store', value: Buffer.from('rubbish') }], true)
  await database.close()
  await (await opened(directory)).close()
  await writeFile(join(directory, 'store.json'), '')
  await (await opened(directory)).close()
  expect(JSON.parse(await readFile(join(directory, 'store.json'), 'utf8'))).toMatchObject({
    format: formatVersion,
    atSign: '@alice',
  })
})

test('migrations run once each, in order, from the format that is there', async () => {
  const directory = await provisioned()
  const ran: number[] = []
  const noted = (to: number) =>
    step(to, async (database) => {
      ran.push(to)
      await database.batch([{ key: `!noted!${to}`, value: Buffer.from('x') }], true)
    })
  await (await opened(directory, {}, { migrations: [noted(next)] })).close()
  await (await opened(directory, {}, { migrations: [noted(next), noted(next + 1), noted(next + 2)] })).close()
  expect(ran).toEqual([next, next + 1, next + 2])
  const keys: string[] = []
  for await (const key of (await bare(directory)).keys({ prefix: '!noted!' })) keys.push(key)
  expect(keys).toEqual([next, next + 1, next + 2].map((to) => `!noted!${to}`))
})

test('a migration that fails leaves the format of the last one that did not', async () => {
  const directory = await provisioned()
  const fails = step(next + 1, async () => {
    throw new Error('power cut')
  })
  await expect(opened(directory, {}, { migrations: [step(next), fails] })).rejects.toThrow('power cut')
  let ran = 0
  const counts = async () => {
    ran += 1
  }
  const store = await opened(directory, {}, { migrations: [step(next, counts), step(next + 1, counts)] })
  expect(ran).toBe(1)
  expect((await store.records.get('phone.wavi@alice'))?.value).toBe('1')
})

test('a new store begins at the newest format', async () => {
  let ran = false
  const directory = await temporary()
  const migration = step(next, async () => {
    ran = true
  })
  await opened(directory, {}, { migrations: [migration] })
  expect(ran).toBe(false)
  expect(JSON.parse(await readFile(join(directory, 'store.json'), 'utf8'))).toMatchObject({
    format: next,
    atSign: '@alice',
  })
})
