import { cp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { flawOfStore } from '../../src/store/preflight.ts'
import { saveSnapshot } from '../../src/store/snapshot-files.ts'
import type { StoreOptions } from '../../src/store/store.ts'
import { opened, put, temporary } from './fixtures.ts'
import { filesLike, level, provisioned, values } from './sittings.ts'

// A start that puts a database right is cut off after each of its steps: what is on the disk then is opened as another
// start would find it.

const keys = values.map((_, number) => `key${number}@alice`)
const textOf = (key: string): string => values[keys.indexOf(key)] ?? ''

const fileLike = async (directory: string, pattern: RegExp): Promise<string> =>
  (await filesLike(directory, pattern))[0] ?? 'none'

/** What a start finds after one that was killed behind each step. */
async function cutOffs(directory: string, options: Partial<StoreOptions> = {}): Promise<Map<string, string>> {
  const images = new Map<string, string>()
  const folder = await temporary()
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const changed = async (what: string): Promise<void> => {
    const image = join(folder, `${images.size}`)
    await cp(directory, image, { recursive: true })
    images.set(`${images.size} ${what}`, image)
  }
  await (await opened(directory, options, { changed })).close()
  return images
}

/** The keys that a store holds, that its losses are named, and that it issues no commit id that was told. */
async function outcome(directory: string, options: Partial<StoreOptions> = {}) {
  const store = await opened(directory, options)
  const held: string[] = []
  for (const key of keys) {
    const record = await Promise.resolve(key)
      .then(store.records.get)
      .catch(() => undefined)
    if (record === undefined) continue
    expect(record.value).toBe(textOf(key))
    held.push(key)
  }
  const { report } = store.health()
  const next = await store.write((tx) => put(tx, 'next@alice', '1'))
  await store.close()
  return { held, steps: report?.steps.length ?? 0, reused: next < keys.length }
}

/** Compares every start that follows one that was cut off with one that was not. */
async function expectSame(directory: string, least: number, options: Partial<StoreOptions> = {}): Promise<string[]> {
  const images = await cutOffs(directory, options)
  expect(images.size).toBeGreaterThanOrEqual(least)
  let first: Awaited<ReturnType<typeof outcome>> | undefined
  for (const [what, image] of images) {
    const { steps, ...found } = await outcome(image, options)
    expect(steps, what).toBeGreaterThan(0)
    first ??= { steps, ...found }
    expect(found, what).toEqual({ held: first.held, reused: false })
  }
  return first?.held ?? []
}

async function smear(path: string, at: number, bytes = 40): Promise<void> {
  const content = await readFile(path)
  content.fill(0xa5, at, at + bytes)
  await writeFile(path, content)
}

test('a start that is cut off while it salvages a log loses nothing that the log holds', async () => {
  const directory = await provisioned()
  const log = await fileLike(directory, /\.log$/)
  await smear(log, (await readFile(log)).indexOf(textOf('key25@alice')))
  expect(await expectSame(directory, 5)).toEqual(keys.filter((key) => key !== 'key25@alice'))
})

test('a start that is cut off while it repairs loses nothing that the repair would have kept', async () => {
  const directory = await provisioned()
  await unlink(join(level(directory), 'CURRENT'))
  expect(await expectSame(directory, 6)).toEqual(keys)
})

test('a start that is cut off among damaged tables and a damaged log loses what is damaged alone', async () => {
  const directory = await provisioned()
  const log = await fileLike(directory, /\.log$/)
  await smear(log, (await readFile(log)).indexOf(textOf('key30@alice')))
  await smear(await fileLike(directory, /\.ldb$/), 8)
  const held = await expectSame(directory, 8)
  expect(held).toEqual(keys.slice(20).filter((key) => key !== 'key30@alice'))
})

test('a start that is cut off while it restores a snapshot has all of the snapshot', async () => {
  const directory = await provisioned()
  const snapshots = join(directory, '..', 'snapshots')
  const before = await opened(directory)
  await saveSnapshot(snapshots, before.snapshot(), { keep: 2 })
  await before.close()
  await rm(level(directory), { recursive: true })
  expect(await expectSame(directory, 5, { snapshots })).toEqual(keys)
})

test('a start that is cut off while it goes back to the copy goes back once more', async () => {
  const directory = await provisioned()
  const log = await fileLike(directory, /\.log$/)
  await smear(log, (await readFile(log)).indexOf(textOf('key25@alice')))
  const images = await cutOffs(directory)
  for (const [what, image] of images) {
    expect((await flawOfStore(image)) !== undefined, what).toBe(!what.endsWith('the note was removed'))
  }
  const opening = [...images].find(([what]) => what.endsWith('the database was opened'))?.[1] ?? ''
  expect(await expectSame(opening, 6)).toEqual(keys.filter((key) => key !== 'key25@alice'))
})

test('a start that is cut off and whose copy is gone is told, and issues no commit id twice', async () => {
  const directory = await provisioned()
  const log = await fileLike(directory, /\.log$/)
  await smear(log, (await readFile(log)).indexOf(textOf('key25@alice')))
  const images = await cutOffs(directory)
  const opening = [...images].find(([what]) => what.endsWith('the database was opened'))?.[1] ?? ''
  await rm(join(opening, 'aside'), { recursive: true })
  const { held, steps, reused } = await outcome(opening)
  expect([held.length < keys.length, steps, reused]).toEqual([true, 1, false])
})

test('a log that lost its end is told as such, however often a start is cut off', async () => {
  const directory = await provisioned()
  const log = await fileLike(directory, /\.log$/)
  await truncate(log, (await readFile(log)).length - 30)
  const copy = join(await temporary(), 'cut')
  let isCut = false
  const cut = async (): Promise<void> => {
    if (!isCut) await cp(directory, copy, { recursive: true })
    isCut = true
  }
  await (await opened(directory, {}, { changed: cut })).close()
  const { held, steps, reused } = await outcome(copy)
  expect([held, steps, reused]).toEqual([keys.slice(0, -1), 1, false])
})

test('a repair that keeps nothing gives way to a snapshot that holds something', async () => {
  const directory = await provisioned()
  const snapshots = join(directory, '..', 'snapshots')
  const before = await opened(directory)
  await saveSnapshot(snapshots, before.snapshot(), { keep: 2 })
  await before.close()
  for (const name of await readdir(level(directory))) {
    if (/\.(?:ldb|log)$/.test(name)) await truncate(join(level(directory), name), 100)
  }
  const store = await opened(directory, { snapshots })
  expect((await store.records.get('key0@alice'))?.value).toBe(textOf('key0@alice'))
  expect(store.health().state).toBe('restored')
  expect(await store.write((tx) => put(tx, 'next@alice', '1'))).toBeGreaterThan(keys.length)
})

test('snapshots of an empty store do not push out the last one that holds something', async () => {
  const snapshots = join(await temporary(), 'snapshots')
  const full = await opened(await provisioned())
  await saveSnapshot(snapshots, full.snapshot(), { keep: 2 })
  const empty = await opened(await temporary())
  for (let day = 0; day < 4; day += 1) await saveSnapshot(snapshots, empty.snapshot(), { keep: 2 })
  expect(await readdir(snapshots)).toEqual(['000001.snapshot', '000004.snapshot', '000005.snapshot'])
  const directory = await provisioned()
  await rm(level(directory), { recursive: true })
  const store = await opened(directory, { snapshots })
  expect((await store.records.get('key0@alice'))?.value).toBe(textOf('key0@alice'))
})
