import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, chmod, copyFile, mkdir, readdir, rm, stat, statfs, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import type { Store } from '../../src/core/storage.ts'
import { saveSnapshot } from '../../src/store/snapshot-files.ts'
import { openStore } from '../../src/store/store.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { bundled, place } from './settings.ts'
import type { Stranger } from './stranger.ts'

const run = promisify(execFile)
const keys = Array.from({ length: 40 }, (_, number) => `key${number}@alice`)
const textOf = (key: string): string => `value of ${key} `.padEnd(200, '.')

const write = (store: Store, key: string, value: string): Promise<number> =>
  store.write((tx) =>
    tx.putRecord(parseAtKey(key), { value, metadata: {} }, { operation: '*', opTime: 1, commit: true }),
  )

const open = (directory: string, clock: ManualClock = manualClock()): Promise<Store> =>
  openStore({ directory, atSign: '@alice', clock })

/** Written in two sittings, so that there is a table and a log. */
async function fill(directory: string): Promise<void> {
  for (const half of [keys.slice(0, 20), keys.slice(20)]) {
    const store = await open(directory)
    for (const key of half) await write(store, key, textOf(key))
    await store.close()
  }
}

/** A small file system of its own. @returns undefined where none can be mounted, which is said */
async function disk(size: string): Promise<string | undefined> {
  const folder = join(await place(), 'disk')
  await mkdir(folder)
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder])
  } catch (error) {
    process.stdout.write(`No file system can be mounted here, so batches fail instead: ${String(error)}\n`)
    return undefined
  }
  onTestFinished(async () => {
    await run('umount', ['--lazy', folder])
  })
  return folder
}

/** In place of a disk: batches that fail as they do on one, until it is over. */
async function expectRefusals(code: string): Promise<void> {
  const directory = join(await place(), 'store')
  await fill(directory)
  const clock = manualClock()
  let fails = true
  const fault = Object.assign(new Error(`IO error: ${code}`), { code })
  const aroundBatch = (batch: () => Promise<void>): Promise<void> => (fails ? Promise.reject(fault) : batch())
  const store = await openStore({ directory, atSign: '@alice', clock }, { aroundBatch })
  await expect(write(store, 'new@alice', '1')).rejects.toMatchObject({ code: 'AT0002' })
  await expectAll(store, new Map(keys.map((key) => [key, textOf(key)])))
  fails = false
  clock.advance(2_000)
  expect(await write(store, 'new@alice', '1')).toBe(keys.length)
  await store.close()
}

const remount = (folder: string, mode: 'ro' | 'rw') => run('mount', ['-o', `remount,${mode}`, folder])

/** Takes what is free, in a file that grows. */
async function fillUp(folder: string): Promise<string> {
  const { bavail, bsize } = await statfs(folder)
  const filler = join(folder, 'filler')
  await appendFile(filler, Buffer.alloc(bavail * bsize)).catch(() => undefined)
  return filler
}

/** Fills the disk until a change is refused: LevelDB may give room back at any time, of tables that it has merged. */
async function refusalOf(change: () => Promise<unknown>, folder: string): Promise<unknown> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    await fillUp(folder)
    const refusal = await change().then(
      () => undefined,
      (error: unknown) => error,
    )
    if (refusal !== undefined) return refusal
  }
  return undefined
}

async function expectAll(store: Store, written: ReadonlyMap<string, string>): Promise<void> {
  for (const [key, value] of written) expect((await store.records.get(key))?.value).toBe(value)
}

test('a disk that fills up refuses changes, goes on reading, and takes changes again once there is room', async () => {
  const folder = await disk('24m')
  if (folder === undefined) return expectRefusals('ENOSPC')
  const clock = manualClock()
  const store = await open(join(folder, 'store'), clock)
  const written = new Map<string, string>()
  const value = 'x'.repeat(100_000)
  let refusal: unknown
  for (let number = 0; refusal === undefined && number < 1_000; number += 1) {
    await write(store, `big${number}@alice`, `${number}${value}`).then(
      () => written.set(`big${number}@alice`, `${number}${value}`),
      (error: unknown) => {
        refusal = error
      },
    )
  }
  expect(refusal).toMatchObject({ code: 'AT0002' })
  await expectAll(store, written)
  await store.close()
  const filler = await fillUp(folder)
  const full = await open(join(folder, 'store'), clock)
  await expectAll(full, written)
  const change = () => write(full, 'more@alice', 'x'.repeat(2_000_000))
  expect(await refusalOf(change, folder)).toMatchObject({ code: 'AT0002' })
  await rm(filler, { force: true })
  await remountLarger(folder)
  clock.advance(2_000)
  expect(await write(full, 'more@alice', 'at last')).toBeGreaterThanOrEqual(written.size)
  await full.close()
  const again = await open(join(folder, 'store'))
  written.set('more@alice', 'at last')
  await expectAll(again, written)
  await again.close()
})

test('a disk that is too small for the snapshot that is to be restored is said, and it is restored once there is room', async () => {
  const folder = await disk('24m')
  if (folder === undefined) return
  const source = join(await place(), 'source')
  const snapshots = join(source, '..', 'snapshots')
  const before = await open(source)
  for (const key of keys) await write(before, key, textOf(key))
  for (let number = 0; number < 450; number += 1) {
    await write(before, `big${number}@alice`, randomBytes(60_000).toString('base64'))
  }
  await saveSnapshot(snapshots, before.snapshot(), { keep: 1 })
  await before.close()
  const directory = join(folder, 'store')
  await mkdir(directory)
  await copyFile(join(source, 'store.json'), join(directory, 'store.json'))
  const restore = () => openStore({ directory, atSign: '@alice', clock: manualClock(), snapshots })
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await expect(restore()).rejects.toMatchObject({
      reason: 'unreadable',
      message: expect.stringMatching(/its latest snapshot cannot be restored \(.*no space.*\): make room/i),
    })
  }
  await remountLarger(folder)
  const store = await restore()
  await expectAll(store, new Map(keys.map((key) => [key, textOf(key)])))
  expect(store.health().state).toBe('restored')
  await store.close()
})

const remountLarger = (folder: string) => run('mount', ['-o', 'remount,size=160m', folder])

test('a file system that became read-only serves reads, refuses changes with a sentence, and takes them once it can be written', async () => {
  const folder = await disk('32m')
  if (folder === undefined) return expectRefusals('EROFS')
  const directory = join(folder, 'store')
  await fill(directory)
  await remount(folder, 'ro')
  const clock = manualClock()
  const store = await open(directory, clock)
  await expectAll(store, new Map(keys.map((key) => [key, textOf(key)])))
  expect(store.health()).toMatchObject({ state: 'read-only', readOnly: expect.stringContaining('EROFS') })
  const refusal = { code: 'AT0002', message: expect.stringContaining('opened for reading only') }
  await expect(write(store, 'new@alice', '1')).rejects.toMatchObject(refusal)
  await remount(folder, 'rw')
  clock.advance(2_000)
  expect(await write(store, 'new@alice', '1')).toBe(keys.length)
  expect(store.health().readOnly).toBeUndefined()
  await store.close()
})

test('every file in turn missing, empty or cut in half: always a start, and what is not there is named', async () => {
  const folder = await place()
  const sound = join(folder, 'sound')
  await fill(sound)
  const harms: [string, (path: string) => Promise<void>][] = [
    ['missing', unlink],
    ['empty', (path) => truncate(path)],
    ['cut', async (path) => truncate(path, Math.floor((await stat(path)).size / 2))],
  ]
  for (const file of await readdir(sound, { recursive: true })) {
    if (!(await stat(join(sound, file))).isFile()) continue
    for (const [name, harm] of harms) {
      const directory = join(folder, 'harmed')
      await fill(directory)
      await harm(join(directory, file))
      const store = await open(directory)
      const missing: string[] = []
      for (const key of keys) {
        const value = await Promise.resolve(store.records.get(key)).then(
          (record) => record?.value,
          () => undefined,
        )
        if (value === undefined) missing.push(key)
        else expect(value, `${file} ${name}`).toBe(textOf(key))
      }
      const { report } = store.health()
      if (missing.length > 0) expect(report, `${file} ${name}`).toBeDefined()
      await write(store, 'new@alice', '1')
      await store.close()
      const again = await open(directory)
      expect((await again.records.get('new@alice'))?.value, `${file} ${name}`).toBe('1')
      await again.close()
      await rm(directory, { recursive: true })
    }
  }
})

async function asStranger(directory: string): Promise<Stranger> {
  const script = await bundled('stranger')
  const { stdout } = await run(process.execPath, [script, directory])
  return JSON.parse(stdout) as Stranger
}

async function setModes(folder: string, directories: number, files: number): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name)
    await chmod(path, (await stat(path)).isDirectory() ? directories : files)
  }
  await chmod(folder, directories)
}

test('a store that may be read but not written is opened for reading; one that may not even be read is refused', async () => {
  expect(process.getuid?.(), 'this test needs root, to become somebody else').toBe(0)
  const folder = await place()
  await chmod(folder, 0o755)
  const directory = join(folder, 'store')
  await fill(directory)
  await setModes(directory, 0o755, 0o644)
  expect(await asStranger(directory)).toEqual({
    ...{ state: 'read-only', value: textOf('key0@alice') },
    write: expect.stringContaining('opened for reading only'),
  })
  await setModes(directory, 0o700, 0o600)
  expect(await asStranger(directory)).toEqual({ refused: expect.stringMatching(/^unreadable: .*EACCES/) })
})
