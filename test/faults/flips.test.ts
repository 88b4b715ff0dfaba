import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import type { Notification } from '../../src/core/notification.ts'
import { openStore } from '../../src/store/store.ts'
import { manualClock } from '../support/clock.ts'
import type { Flip, Outcome } from './flip-reader.ts'
import { bundled, createProgress, createRandom, howMany, placeInMemory, seed } from './settings.ts'

const flips = howMany(1_200, 20_000)
const smears = howMany(200, 4_000)
const keys = Array.from({ length: 40 }, (_, number) => `key${number}.sensors@alice`)
const waiting = Array.from({ length: 12 }, (_, number) => `n${number}`)

const notification = (id: string): Notification => ({
  ...{ id, from: '@alice', to: '@bob', key: '@bob:x@alice', value: `value of ${id}`, operation: 'update' },
  ...{ messageType: 'key', type: 'sent', priority: 'low', strategy: 'all', latestN: 1, notifier: 'x', at: 5 },
  ...{ expiresAt: 4_000_000_000_000, status: 'queued', isEncrypted: false, metadata: {} },
})

/** A store that was written in several sittings, with old versions and removals in older tables. */
async function makeStore(directory: string): Promise<Flip['expected']> {
  const expected: Record<string, string | null> = {}
  for (let sitting = 0; sitting < 4; sitting += 1) {
    const store = await openStore({ directory, atSign: '@alice', clock: manualClock() })
    for (const [index, key] of keys.entries()) {
      if (sitting > 0 && index % 4 !== sitting && index % 3 !== 0) continue
      const value = sitting === 2 && index % 8 === 2 ? null : `${key} in sitting ${sitting} ${'x'.repeat(60)}`
      expected[key] = value
      const logged = { opTime: sitting, commit: true } as const
      await store.write(async (tx) => {
        if (value === null) await tx.removeRecord(parseAtKey(key), { operation: '-', ...logged })
        else await tx.putRecord(parseAtKey(key), { value, metadata: {} }, { operation: '*', ...logged })
      })
    }
    for (const id of waiting.slice(sitting * 3, sitting * 3 + 3))
      await store.write((tx) => tx.enqueue(notification(id)))
    await store.close()
  }
  return expected
}

interface Sized {
  readonly file: string
  readonly bits: number
}

async function filesIn(directory: string): Promise<Sized[]> {
  const files: Sized[] = []
  for (const file of await readdir(directory, { recursive: true })) {
    const info = await stat(join(directory, file))
    if (info.isFile() && info.size > 0) files.push({ file, bits: info.size * 8 })
  }
  return files
}

/** The same number of bits of every file, spread evenly. */
function* choose(
  files: readonly Sized[],
  count: number,
  random: () => number,
): Generator<{ file: string; bit: number }> {
  const each = Math.ceil(count / files.length)
  for (const { file, bits } of files) {
    for (let turn = 0; turn < each; turn += 1) {
      yield { file, bit: Math.min(Math.floor(((turn + random()) * bits) / each), bits - 1) }
    }
  }
}

/** A reader that is there again when it has died. */
function createReader(script: string, directory: string) {
  let child: ChildProcess | undefined
  let lines: AsyncIterator<string> | undefined
  const start = () => {
    child = spawn(process.execPath, [script, directory], { stdio: ['pipe', 'pipe', 'inherit'] })
    if (child.stdout === null) throw new Error('no output')
    lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  }
  return {
    /** @returns undefined when the process died of it */
    async read(flip: Flip): Promise<Outcome | undefined> {
      if (child === undefined) start()
      child?.stdin?.write(`${JSON.stringify(flip)}\n`)
      const line = await lines?.next()
      if (line?.done === false) return JSON.parse(line.value) as Outcome
      child = undefined
      return undefined
    },
    async close() {
      child?.stdin?.end()
      if (child !== undefined) await once(child, 'exit')
    },
  }
}

/** Opens the store with each of some damages. @returns what must not be, and how much was lost */
async function readAll(count: number, smear: number) {
  const folder = await placeInMemory()
  const from = join(folder, 'sound')
  const expected = await makeStore(from)
  const reader = createReader(await bundled('flip-reader'), join(folder, 'harmed'))
  onTestFinished(reader.close)
  const progress = createProgress(smear > 0 ? 'smears' : 'flips', count)
  const bad: string[] = []
  const seen = { damages: 0, lost: 0, older: 0, repaired: 0 }
  for (const { file, bit } of choose(await filesIn(from), count, createRandom(seed))) {
    const outcome = await reader.read({ from, file, bit, smear, expected, waiting })
    seen.damages += 1
    seen.lost += outcome?.lost ?? 0
    seen.older += outcome?.older.length ?? 0
    if (outcome?.state === 'repaired') seen.repaired += 1
    const wrong = outcome?.wrong.map((one) => `wrong ${one}`) ?? ['the process died']
    const unnamed = outcome?.unnamed.map((one) => `unnamed ${one}`) ?? []
    const what = [...wrong, ...unnamed]
    if (what.length > 0) bad.push(`${file} bit ${bit}: ${what.slice(0, 5).join(', ')}`)
    progress()
  }
  process.stdout.write(`${JSON.stringify(seen)}\n`)
  return { bad, seen }
}

test(`${flips} flipped bits, spread over every file, cost nothing: no wrong value, no crash, always a start (seed ${seed})`, async () => {
  const { bad, seen } = await readAll(flips, 0)
  expect(bad).toEqual([])
  expect(seen.damages).toBeGreaterThanOrEqual(flips)
  expect([seen.lost, seen.older]).toEqual([0, 0])
})

// A block of a table is worth many changes: with it gone, versions before them are the latest ones that are left.
test(`${smears} smears of 24 bytes give no value that was never written, no crash, always a start; losses are named (seed ${seed})`, async () => {
  const { bad, seen } = await readAll(smears, 24)
  expect(bad).toEqual([])
  expect(seen.damages).toBeGreaterThanOrEqual(smears)
})
