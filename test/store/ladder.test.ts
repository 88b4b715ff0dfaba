import { readdir, readFile, rename, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Log } from '../../src/core/log.ts'
import { openReadOnly } from '../../src/store/read-only.ts'
import { saveSnapshot } from '../../src/store/snapshot-files.ts'
import { manualClock } from '../support/clock.ts'
import { all, contents, opened, put, start, temporary } from './fixtures.ts'
import { copyTo, filesLike, level, provisioned, readAll, values } from './sittings.ts'

test('a lost, empty or torn CURRENT or MANIFEST costs nothing: the database is repaired, and a copy kept', async () => {
  const harm: [RegExp, (path: string) => Promise<void>][] = [
    [/^CURRENT$/, unlink],
    [/^CURRENT$/, (path) => truncate(path)],
    [/^CURRENT$/, (path) => truncate(path, 5)],
    [/^MANIFEST/, unlink],
    [/^MANIFEST/, (path) => truncate(path)],
  ]
  for (const [pattern, damage] of harm) {
    const directory = await provisioned()
    for (const path of await filesLike(directory, pattern)) await damage(path)
    const before = await contents(level(directory))
    for (const name of ['LOCK', 'LOG', 'LOG.old']) delete before[name]
    const store = await opened(directory)
    expect(await readAll(store)).toEqual(values)
    expect(store.health().state).toBe('repaired')
    expect(store.health().report?.steps.join()).toContain('aside/1')
    expect(await contents(join(directory, 'aside', '1'))).toEqual(before)
    expect((await store.write((tx) => put(tx, 'new@alice', '1'))) > values.length).toBe(true)
    await store.close()
    const again = await opened(directory)
    expect([again.health().state, await readAll(again)]).toEqual(['sound', values])
  }
})

test('a lost CURRENT never costs a table, should the marker be gone as well', async () => {
  const directory = await provisioned()
  await unlink(join(directory, 'store.json'))
  await unlink(join(level(directory), 'CURRENT'))
  expect(await readAll(await opened(directory))).toEqual(values)
})

test('a lost or empty table costs what was in it, and all else is served', async () => {
  for (const damage of [unlink, (path: string) => truncate(path)]) {
    const directory = await provisioned()
    for (const path of await filesLike(directory, /\.ldb$/)) await damage(path)
    const store = await opened(directory)
    const read = await Promise.allSettled(values.map(async (_, number) => store.records.get(`key${number}@alice`)))
    for (const [number, end] of read.entries()) {
      if (number >= 20) expect(end).toMatchObject({ status: 'fulfilled', value: { value: values[number] } })
      else if (end.status === 'fulfilled') expect(end.value).toBeUndefined()
    }
    expect(store.health().report).toBeDefined()
  }
})

test('a database that is gone is restored from the newest snapshot', async () => {
  const directory = await provisioned()
  const snapshots = join(directory, '..', 'snapshots')
  const before = await opened(directory)
  await saveSnapshot(snapshots, before.snapshot(), { keep: 2 })
  await before.write((tx) => put(tx, 'later@alice', '1'))
  await before.close()
  await rm(level(directory), { recursive: true })
  const store = await opened(directory, { snapshots })
  expect(await readAll(store)).toEqual(values)
  expect(await store.records.get('later@alice')).toBeUndefined()
  const { state, report } = store.health()
  expect([state, report?.since]).toEqual(['restored', start])
  expect(report?.steps.join()).toContain('2026-01-31T10:00:00.000Z')
})

test('a database that is gone and has no snapshot is made anew, loudly, with no commit id issued twice', async () => {
  const directory = await provisioned()
  await rm(level(directory), { recursive: true })
  const store = await opened(directory)
  const { state, report } = store.health()
  expect([state, report?.since, report?.steps.join()]).toEqual([
    'anew',
    0,
    expect.stringContaining('everything in it is lost'),
  ])
  expect(await all(store.records.entries())).toEqual([])
  expect(await store.write((tx) => put(tx, 'a@alice', '1'))).toBeGreaterThan(values.length)
})

test('the older of two copies goes', async () => {
  const directory = await provisioned()
  for (let round = 0; round < 4; round += 1) {
    await unlink(join(level(directory), 'CURRENT'))
    await (await opened(directory)).close()
  }
  expect(await readdir(join(directory, 'aside'))).toEqual(['3', '4'])
})

test('a flipped bit in the log is put right, wherever it is', async () => {
  const original = await provisioned()
  const [log = ''] = await filesLike(original, /\.log$/)
  const bytes = await readFile(log)
  const files = await contents(original)
  for (let turn = 0; turn < 25; turn += 1) {
    const bit = Math.floor((bytes.length * 8 * (turn + 0.5)) / 25)
    const directory = await temporary()
    await copyTo(directory, files)
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    await writeFile(log.replace(original, directory), flipped)
    const store = await opened(directory)
    expect(await readAll(store)).toEqual(values)
    expect(store.health().report?.steps.join()).toContain('was put right')
    await store.close()
  }
})

test('what cannot be put right in the log is named, and nothing else goes with it', async () => {
  const directory = await provisioned()
  const [log = ''] = await filesLike(directory, /\.log$/)
  const bytes = await readFile(log)
  const at = bytes.indexOf(values[25] ?? '')
  bytes.fill(0x55, at, at + 40)
  await writeFile(log, bytes)
  const store = await opened(directory)
  const read = await readAll(store)
  expect(read).toEqual(values.map((value, number) => (number === 25 ? undefined : value)))
  const found = store.health().report?.findings.map(({ what, key }) => `${what} ${key}`)
  expect(found).toContain('record key25@alice')
  expect(await store.write((tx) => put(tx, 'new@alice', '1'))).toBeGreaterThan(values.length)
})

test('a store that is opened for reading only shows what stands behind damage in its log, and leaves the log alone', async () => {
  const directory = await provisioned()
  const [log = ''] = await filesLike(directory, /\.log$/)
  const bytes = await readFile(log)
  const at = bytes.indexOf(values[21] ?? '')
  bytes.fill(0x55, at, at + 40)
  await writeFile(log, bytes)
  // No copy can be set aside, as on a disk that takes no writes.
  await writeFile(join(directory, 'aside'), '')
  const store = await opened(directory)
  expect(store.health()).toMatchObject({ state: 'read-only', readOnly: expect.stringContaining('EEXIST') })
  expect(await readAll(store)).toEqual(values.map((value, number) => (number === 21 ? undefined : value)))
  expect(store.health().report?.findings.map(({ what, key }) => `${what} ${key}`)).toContain('record key21@alice')
  await store.close()
  expect(await readFile(log)).toEqual(bytes)
})

async function torn(): Promise<string> {
  const directory = await provisioned()
  const [log = ''] = await filesLike(directory, /\.log$/)
  const { length } = await readFile(log)
  await truncate(log, length - 30)
  return directory
}

test('a log that lost its end though the store was closed is said', async () => {
  const store = await opened(await torn())
  expect(store.health().report?.steps.join()).toContain('shorter than it was when it was closed')
  expect(await store.write((tx) => put(tx, 'new@alice', '1'))).toBeGreaterThan(values.length)
})

test('a log that a power cut tore is no damage', async () => {
  const directory = await torn()
  await writeFile(join(directory, 'starts.json'), JSON.stringify({ early: 1 }))
  const store = await opened(directory)
  expect(await readAll(store)).toEqual(values.map((value, number) => (number === 39 ? undefined : value)))
  expect(store.health()).toMatchObject({ state: 'sound' })
  expect(store.health().report).toBeUndefined()
})

test('starts in a row that end early wait longer and longer, and one that lasts ends that', async () => {
  const directory = await provisioned()
  const early = async (): Promise<number> =>
    (JSON.parse(await readFile(join(directory, 'starts.json'), 'utf8')) as { early: number }).early
  expect(await early()).toBe(0)
  // A process of that number runs, but it is another one.
  await writeFile(join(directory, 'starts.json'), JSON.stringify({ early: 5, pid: process.ppid }))
  const clock = manualClock(start)
  let waits = (_: unknown): void => {}
  const waiting = new Promise((resolve) => {
    waits = resolve
  })
  const log: Log = (_, message, members) => {
    if (message.includes('ended early')) waits(members)
  }
  const opening = opened(directory, { clock, log })
  expect(await waiting).toEqual({ early: 5, wait: 4_000 })
  clock.advance(4_000)
  const store = await opening
  expect(await early()).toBe(6)
  clock.advance(300_000)
  await store.close()
  expect(await early()).toBe(0)
})

test('a store that is in use is refused before anything in it is judged, however damaged it looks meanwhile', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  await store.write((tx) => put(tx, 'a@alice', '1'))
  const level = join(directory, 'level')
  // A table that the other process is about to write.
  await writeFile(join(level, '000777.ldb'), '')
  await expect(opened(directory)).rejects.toMatchObject({ reason: 'locked' })
  expect(await readdir(level)).toContain('000777.ldb')
  await store.write((tx) => put(tx, 'b@alice', '1'))
  await store.close()
  const again = await opened(directory)
  expect((await all(again.records.entries())).map(([key]) => key)).toEqual(['a@alice', 'b@alice'])
})

test('a table that a compaction has left half written is no damage, at the start or while running', async () => {
  const directory = await provisioned()
  const stray = join(level(directory), '999999.ldb')
  await writeFile(stray, Buffer.alloc(5000, 7))
  const store = await opened(directory)
  expect([store.health().state, store.health().report]).toEqual(['sound', undefined])
  expect(await readdir(level(directory))).not.toContain('999999.ldb')
  await writeFile(stray, Buffer.alloc(5000, 7))
  await store.scrub(10_000_000)
  expect(store.health().report).toBeUndefined()
  expect(await readAll(store)).toEqual(values)
})

test('a repair takes in no table that is none of the database, nor reports it', async () => {
  const directory = await provisioned()
  const [table = ''] = await filesLike(directory, /\.ldb$/)
  await writeFile(join(level(directory), '999999.ldb'), Buffer.alloc(5000, 7))
  const bytes = await readFile(table)
  bytes.fill(0xa5, 8, 40)
  await writeFile(table, bytes)
  const { state, report } = (await opened(directory)).health()
  expect(state).toBe('repaired')
  expect(report?.findings.map(({ what }) => what).join()).not.toContain('999999')
})

/** A store that stopped early, with some bytes changed in the changes at the end of its newest log. */
async function smeared(pattern: string): Promise<string> {
  const directory = await provisioned()
  const [log = ''] = await filesLike(directory, /\.log$/)
  const bytes = await readFile(log)
  const at = bytes.lastIndexOf(pattern)
  bytes.fill(0xa5, at + 3, at + 9)
  await writeFile(log, bytes)
  await writeFile(join(directory, 'starts.json'), JSON.stringify({ early: 1 }))
  return directory
}

test('damage at the end of the log after a power cut is said, and no id that was told is issued again', async () => {
  const lines: string[] = []
  const store = await opened(await smeared('!records!key39@alice'), { log: (_, line) => lines.push(line) })
  expect(await store.records.get('key38@alice')).toBeDefined()
  expect(lines.join()).toContain('at the end of the log')
  expect(await store.write((tx) => put(tx, 'new@alice', '1'))).toBeGreaterThan(values.length)
})

test('what starts that were cut off have left behind goes', async () => {
  const directory = await provisioned()
  const left = [
    'level/000777.ldb.new',
    'level/.probe',
    'level.restoring/000001.log',
    'level.back/CURRENT',
    'level.repaired/CURRENT',
  ]
  await copyTo(directory, Object.fromEntries(left.map((name) => [name, ''])))
  const store = await opened(directory)
  expect(Object.keys(await contents(directory)).filter((name) => left.includes(name))).toEqual([])
  expect([store.health().state, await readAll(store)]).toEqual(['sound', values])
})

test('tables that are none of the database are not touched by opening it for reading only', async () => {
  const directory = await provisioned()
  const numbers = (await readdir(level(directory))).map((name) => Number.parseInt(name.replace(/\D+/, ''), 10))
  const highest = Math.max(...numbers.filter(Number.isInteger))
  for (let number = highest + 1; number < highest + 8; number += 1) {
    await writeFile(join(level(directory), `${String(number).padStart(6, '0')}.ldb`), 'half a table')
  }
  const before = await contents(level(directory))
  const database = await openReadOnly(level(directory), 'it is read-only')
  const kept: string[] = []
  for await (const key of database.keys({ prefix: '!records!' })) kept.push(key)
  await database.close()
  expect(kept).toHaveLength(values.length)
  expect(await contents(level(directory))).toEqual(before)
})

test('no commit id is issued twice when what was lost lay behind an earlier gap', async () => {
  const directory = await provisioned()
  const lost = await temporary()
  const forget = () => unlink(join(level(directory), 'CURRENT'))
  await forget()
  await (await opened(directory)).close()
  const files = await contents(level(directory))
  const store = await opened(directory)
  const told = await store.write((tx) => put(tx, 'lost@alice', '1'))
  await store.close()
  await rename(level(directory), lost)
  await copyTo(level(directory), files)
  await forget()
  const again = await opened(directory)
  expect(await again.write((tx) => put(tx, 'new@alice', '1'))).toBeGreaterThan(told)
  expect(await all(again.commits.gaps())).toHaveLength(1)
})
