import { copyFile, link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { systemClock } from '../../src/core/clock.ts'
import type { Store } from '../../src/core/storage.ts'
import { readTables } from '../../src/store/level.ts'
import { openStore } from '../../src/store/store.ts'

// Opens a store in which one bit is flipped, reads everything in every way, and says what came of it. A process of its own,
// since LevelDB is native code: what it dies of, a test must survive.

/** One line on standard input. */
export interface Flip {
  /** Folder of the sound store. */
  readonly from: string
  /** File below it, and the bit. */
  readonly file: string
  readonly bit: number
  /** How many bytes from there are smeared; 0 for the one bit. */
  readonly smear: number
  /** What every key holds; null where it was removed. */
  readonly expected: Readonly<Record<string, string | null>>
  /** Ids that wait in the outbox, in order. */
  readonly waiting: readonly string[]
}

/** One line on standard output. */
export interface Outcome {
  /** Values that nobody wrote. */
  readonly wrong: readonly string[]
  /** What was replaced, removed or delivered long ago, and is there again. */
  readonly older: readonly string[]
  /** Losses that no report names. */
  readonly unnamed: readonly string[]
  /** Losses, all of them. */
  readonly lost: number
  readonly state: string
}

/** Tables never change, so all but the flipped file are links; small files are replaced by renaming. */
async function prepare({ from, file, bit, smear }: Flip, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true })
  for (const name of await readdir(from, { recursive: true })) {
    const source = join(from, name)
    if (!(await stat(source)).isFile()) continue
    await mkdir(dirname(join(to, name)), { recursive: true })
    if (name === file) {
      const bytes = await readFile(source)
      const at = bit >> 3
      if (smear > 0)
        for (let place = at; place < at + smear && place < bytes.length; place += 1)
          bytes[place] = (bytes[place] ?? 0) ^ 0xa5
      else bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
      await writeFile(join(to, name), bytes)
    } else if (/LO(?:CK|G)/.test(name)) await copyFile(source, join(to, name))
    else await link(source, join(to, name))
  }
}

type Found = { wrong: string[]; older: string[]; missing: string[] }
const none = (): Found => ({ wrong: [], older: [], missing: [] })

async function readRecords(store: Store, expected: Flip['expected'], { wrong, older, missing }: Found): Promise<void> {
  for (const [key, value] of Object.entries(expected)) {
    try {
      const record = await store.records.get(key)
      if (record === undefined && value !== null) missing.push(key)
      else if (record !== undefined && !record.value?.startsWith(`${key} in sitting `)) wrong.push(key)
      else if (record !== undefined && record.value !== value) older.push(key)
    } catch {
      missing.push(key)
    }
  }
}

async function readLists(store: Store, expected: Flip['expected'], { wrong, older }: Found): Promise<void> {
  for await (const [key] of store.records.entries()) {
    if (expected[key] === undefined) wrong.push(key)
    else if (expected[key] === null) older.push(key)
  }
  for await (const { key, operation } of store.commits.entries()) {
    if (expected[key] === undefined) wrong.push(key)
    else if ((operation === '-') !== (expected[key] === null)) older.push(key)
  }
}

async function readOutbox(store: Store, waiting: readonly string[], { wrong, missing }: Found): Promise<void> {
  const found = (await store.outbox.pending('@bob', 1_000)).map(({ notification }) => notification.id)
  for (const id of found) if (!waiting.includes(id)) wrong.push(id)
  for (const id of waiting) if (!found.includes(id)) missing.push(id)
}

async function outcome(flip: Flip, directory: string): Promise<Outcome> {
  await prepare(flip, directory)
  const store = await openStore({ directory, atSign: '@alice', clock: systemClock })
  try {
    const before = none()
    await readRecords(store, flip.expected, before)
    await readOutbox(store, flip.waiting, before)
    while (store.health().scrub.rounds === 0) await store.scrub(1_000_000)
    const after = none()
    await readRecords(store, flip.expected, after)
    await readLists(store, flip.expected, after)
    await readOutbox(store, flip.waiting, after)
    const { state, report } = store.health()
    const named = report?.findings.map(({ key }) => key) ?? []
    // A part of a table is named by its last key; nobody can say what else was in it.
    const wholePart = report?.findings.some(({ what }) => what.startsWith('part of')) === true || report?.since === 0
    const isNamed = (key: string): boolean => wholePart || named.some((name) => name.includes(key))
    const older = [...before.older, ...after.older]
    const unnamed = [...after.missing, ...older].filter((key) => !isNamed(key))
    return { wrong: [...before.wrong, ...after.wrong], older, unnamed, lost: after.missing.length, state }
  } finally {
    await store.close()
  }
}

await readTables()
const directory = process.argv[2] ?? ''
for await (const line of createInterface(process.stdin)) {
  const said = await outcome(JSON.parse(line) as Flip, directory).catch((error: unknown) => ({
    ...{ wrong: [], older: [], unnamed: [`it did not start: ${String(error)}`], lost: 0, state: 'none' },
  }))
  process.stdout.write(`${JSON.stringify(said)}\n`)
}
