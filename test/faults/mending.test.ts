import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import type { Store } from '../../src/core/storage.ts'
import { saveSnapshot } from '../../src/store/snapshot-files.ts'
import { openStore } from '../../src/store/store.ts'
import { bundled, createProgress, createRandom, howMany, placeInMemory, seed } from './settings.ts'

/** Starts of each kind that are killed while they put a damaged store right. */
const rounds = howMany(6, 200)
const keys = Array.from({ length: 400 }, (_, number) => `key${number}@alice`)

const open = (directory: string, snapshots: string): Promise<Store> =>
  openStore({ directory, atSign: '@alice', clock, snapshots })

const write = (store: Store, key: string): Promise<number> =>
  store.write((tx) =>
    tx.putRecord(
      parseAtKey(key),
      { value: key.padEnd(2_000, '.'), metadata: {} },
      { operation: '*', opTime: 1, commit: true },
    ),
  )

/** Beside such a memtable what is written here is so little that it stays in the log. */
const leavesLog = { memtableBytes: 64 * 1_048_576 }

/** Written in four sittings, with a snapshot in between. */
async function fill(directory: string, snapshots: string): Promise<void> {
  for (let sitting = 0; sitting < 4; sitting += 1) {
    const store = await openStore({ directory, atSign: '@alice', clock, snapshots }, leavesLog)
    for (const key of keys.slice(sitting * 100, sitting * 100 + 100)) await write(store, key)
    if (sitting === 2) await saveSnapshot(snapshots, store.snapshot(), { keep: 2 })
    await store.close()
  }
}

async function filesIn(directory: string, pattern: RegExp): Promise<string[]> {
  const level = join(directory, 'level')
  return (await readdir(level))
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(level, name))
}

async function smear(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes.fill(0xa5, at, at + 60)
  await writeFile(path, bytes)
}

const harms: Readonly<Record<string, (directory: string) => Promise<void>>> = {
  async 'a smeared log'(directory) {
    for (const log of await filesIn(directory, /\.log$/)) await smear(log, 100_000)
  },
  'a lost CURRENT': (directory) => unlink(join(directory, 'level', 'CURRENT')),
  async 'a smeared table and a smeared log'(directory) {
    for (const log of await filesIn(directory, /\.log$/)) await smear(log, 100_000)
    for (const table of (await filesIn(directory, /\.ldb$/)).slice(0, 1)) await smear(table, 5_000)
  },
  async 'no content left'(directory) {
    for (const file of await filesIn(directory, /\.(?:ldb|log)$/)) await truncate(file, 90)
  },
  'no database left': (directory) => rm(join(directory, 'level'), { recursive: true }),
}

/** What a start gives: the records that it holds, whether it tells of losses, whether it issues ids anew; and its length. */
async function outcome(directory: string, snapshots: string): Promise<{ found: string; openMs: number }> {
  const before = performance.now()
  const store = await open(directory, snapshots)
  const openMs = performance.now() - before
  try {
    const held: string[] = []
    for (const key of keys) {
      const record = await Promise.resolve(key)
        .then(store.records.get)
        .catch(() => undefined)
      if (record !== undefined) held.push(key)
    }
    const tells = (store.health().report?.steps.length ?? 0) > 0
    const reuses = (await write(store, 'next@alice')) < keys.length
    return { found: JSON.stringify({ held, tells, reuses }), openMs }
  } finally {
    await store.close()
  }
}

test(`a start that is killed ${rounds} times in each way while it puts a store right costs nothing more (seed ${seed})`, async () => {
  const random = createRandom(seed)
  const folder = await placeInMemory()
  const [sound, directory, snapshots] = [join(folder, 'sound'), join(folder, 'harmed'), join(folder, 'snapshots')]
  const script = await bundled('opener')
  await fill(sound, snapshots)
  const progress = createProgress('mending', rounds * Object.keys(harms).length)
  const bad: string[] = []
  let underWay = 0
  const kill = async (longestMs: number): Promise<void> => {
    const child = spawn(process.execPath, [script, directory, snapshots], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    await new Promise((resolve) => setTimeout(resolve, random() * longestMs))
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    if ((await readdir(directory)).includes('mending.json')) underWay += 1
  }
  for (const [name, harm] of Object.entries(harms)) {
    let wanted: Awaited<ReturnType<typeof outcome>> | undefined
    for (let round = 0; round <= rounds; round += 1) {
      await cp(sound, directory, { recursive: true })
      await harm(directory)
      for (let kills = 0; round > 0 && kills < 2; kills += 1) await kill(2 * (wanted?.openMs ?? 0))
      const one = await outcome(directory, snapshots)
      wanted ??= one
      if (one.found !== wanted.found) bad.push(`${name}, round ${round}: ${one.found.slice(-60)}`)
      await rm(directory, { recursive: true })
      if (round > 0) progress()
    }
    expect(wanted?.found).toMatch(/"tells":true,"reuses":false/)
  }
  expect(bad).toEqual([])
  expect(underWay).toBeGreaterThan(0)
})
