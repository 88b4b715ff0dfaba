import { copyFile, link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { Durability } from '../../src/core/storage.ts'
import { openStore } from '../../src/store/store.ts'
import { manualClock } from '../support/clock.ts'
import { type Acknowledged, nothing, verify } from './check.ts'
import { createRandom, howMany, place, seed } from './settings.ts'
import { type Place, step, writers } from './workload.ts'

// A power cut takes what is in the page cache and not on flash. A real run is recorded: before and after every batch, how
// long each file is, and how long it was at its last sync. LevelDB only ever appends, so each of these states can be made
// again: what was synced is there; of the rest any part may be missing, zero or torn; files that were removed may be there
// still; what the list of tables (synced by LevelDB itself) does not name yet may be missing.

/** Batches that are recorded: some megabytes, so that logs become tables and tables are merged. */
const batches = howMany(260, 1_500)
const endings = howMany(1, 8)
/** Batches during which a table appears. */
const leastTables = howMany(1, 4)

/** Milliseconds that a step of all writers takes, by their clock; in `interval` mode a sync comes every few steps. */
const stepMs = 500
const intervalMs = 2_000

/** Length of each file of LevelDB at one moment. */
type Lengths = Map<string, number>

interface Moment {
  readonly lengths: Lengths
  /** Of the logs, what a power cut leaves for sure. */
  readonly synced: Lengths
  readonly acknowledged: Acknowledged
  /** What of it has to be there after a power cut. */
  readonly durable: Acknowledged
}

/** One batch: what was, and what was being added to it. */
interface Step {
  readonly before: Moment
  readonly after: Lengths
}

const isContent = (name: string): boolean => /^(?:CURRENT|MANIFEST-\d+|\d+\.(?:ldb|log))$/.test(name)

const isNewTable = (name: string, before: Lengths): boolean => name.endsWith('.ldb') && !before.has(name)

/** Lengths now; every file gets a second name under which it outlives its removal. */
async function look(level: string, archive: string): Promise<Lengths> {
  const lengths: Lengths = new Map()
  const names = (await readdir(level)).filter(isContent)
  // The list of tables first: what it names is there by then.
  names.sort((a, b) => Number(b.startsWith('MANIFEST')) - Number(a.startsWith('MANIFEST')))
  for (const name of names) {
    const info = await stat(join(level, name)).catch(() => undefined)
    if (info === undefined) continue
    await link(join(level, name), join(archive, name)).catch(() => undefined)
    lengths.set(name, info.size)
  }
  return lengths
}

const copyOf = ({ change, delivery }: Acknowledged): Acknowledged => ({ change: [...change], delivery: [...delivery] })

/** What was acknowledged by when, by the clock of the store. */
function createHistory(now: () => number) {
  const entries: { readonly at: number; readonly acknowledged: Acknowledged }[] = []
  return {
    note: (acknowledged: Acknowledged) => void entries.push({ at: now(), acknowledged: copyOf(acknowledged) }),
    /** Everything that was acknowledged so many milliseconds ago. */
    before: (ms: number): Acknowledged => entries.findLast(({ at }) => at <= now() - ms)?.acknowledged ?? nothing(),
  }
}

async function record(
  folder: string,
  durability: Durability,
): Promise<{ steps: Step[]; archive: string; marker: string }> {
  const [directory, archive] = [join(folder, 'store'), join(folder, 'archive')]
  const level = join(directory, 'level')
  await mkdir(archive)
  const acknowledged = nothing()
  const steps: Step[] = []
  const clock = manualClock()
  const history = createHistory(clock.now)
  let synced: Lengths = new Map()
  let syncing: Promise<void> | undefined
  let started = false
  const isLongEnough = (): boolean => {
    const tables = steps.filter(({ before, after }) =>
      [...after.keys()].some((name) => isNewTable(name, before.lengths)),
    )
    return steps.length >= batches && tables.length >= leastTables
  }
  const store = await openStore(
    { directory, atSign: '@alice', clock, outboxPerPeer: 1_000_000, durability, intervalMs },
    {
      async aroundSync(sync) {
        const run = async (): Promise<void> => {
          // What comes while it is under way may miss it.
          const before = await look(level, archive)
          await sync()
          synced = new Map([...synced, ...[...before].filter(([name]) => name.endsWith('.log'))])
        }
        syncing = run()
        await syncing
      },
      async aroundBatch(write, _, sync) {
        const durable = durability === 'group' ? copyOf(acknowledged) : history.before(intervalMs)
        const before = { lengths: await look(level, archive), synced, acknowledged: copyOf(acknowledged), durable }
        await write()
        const after = await look(level, archive)
        if (started) steps.push({ before, after })
        // A sync reaches the log to which the batch went, the newest one.
        const newest = [...after.keys()]
          .filter((name) => name.endsWith('.log'))
          .sort()
          .at(-1)
        if (sync && newest !== undefined) synced = new Map([...synced, [newest, after.get(newest) ?? 0]])
      },
    },
  )
  const marker = await readFile(join(directory, 'store.json'), 'utf8')
  started = true
  const places = Array.from({ length: writers }, (): Place => ({ change: -1, delivery: -1 }))
  const work = (at: Place, writer: number): Promise<void> =>
    step(store, writer, at, (what, _, number) => {
      acknowledged[what][writer] = number
    })
  while (!isLongEnough()) {
    await Promise.all(places.map(work))
    history.note(acknowledged)
    clock.advance(stepMs)
    // Time stands still while the disk works.
    await new Promise(setImmediate)
    await syncing
  }
  await store.close()
  return { steps, archive, marker }
}

type Ending = 'lost' | 'whole' | 'torn' | 'zero' | 'rot'

/** The part of a file behind its last sync, as a power cut may leave it. */
function tail(bytes: Buffer, synced: number, ending: Ending, random: () => number): Buffer {
  const rest = Buffer.from(bytes.subarray(synced))
  const cut = Math.floor(random() * rest.length)
  if (ending === 'lost') return rest.subarray(0, 0)
  if (ending === 'torn') return rest.subarray(0, cut)
  if (ending === 'zero') return rest.fill(0, cut)
  if (ending === 'rot') for (let at = cut; at < rest.length; at += 1) rest[at] = Math.floor(random() * 256)
  return rest
}

/** Makes the files of a moment between two looks. */
async function make(
  { before, after }: Step,
  from: string,
  level: string,
  ending: Ending,
  random: () => number,
): Promise<void> {
  const names = new Set([...before.lengths.keys(), ...after.keys()])
  const newList = random() < 0.5
  for (const name of names) {
    const [was, is] = [before.lengths.get(name), after.get(name)]
    if (name.endsWith('.ldb')) {
      // LevelDB writes over a table that no list names: that must not reach the recording.
      if (is !== undefined || was !== undefined) await copyFile(join(from, name), join(level, name))
      continue
    }
    const bytes = (await readFile(join(from, name))).subarray(0, Math.max(was ?? 0, is ?? 0))
    if (name.endsWith('.log')) {
      const sure = before.synced.get(name) ?? 0
      await writeFile(join(level, name), Buffer.concat([bytes.subarray(0, sure), tail(bytes, sure, ending, random)]))
    } else
      await writeFile(join(level, name), name.startsWith('MANIFEST') && !newList ? bytes.subarray(0, was ?? 0) : bytes)
  }
}

const shown = (error: unknown): string =>
  error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)

test.each<[Durability, string]>([
  ['group', 'nothing that was acknowledged is lost'],
  ['interval', 'nothing is lost that was acknowledged an interval ago'],
])(`of ${batches} batches and more in %s mode, each cut off in the middle, %s (seed ${seed})`, async (durability) => {
  const random = createRandom(seed)
  const folder = await place()
  const { steps, archive, marker } = await record(folder, durability)
  const kinds: readonly Ending[] = ['lost', 'torn', 'zero', 'rot', 'whole']
  const bad: string[] = []
  for (const [index, one] of steps.entries()) {
    for (let turn = 0; turn < endings; turn += 1) {
      const ending = kinds[(index + turn) % kinds.length] ?? 'lost'
      const directory = join(folder, 'cut')
      await mkdir(join(directory, 'level'), { recursive: true })
      await writeFile(join(directory, 'store.json'), marker)
      await writeFile(join(directory, 'starts.json'), JSON.stringify({ early: 1 }))
      await make(one, archive, join(directory, 'level'), ending, random)
      try {
        const store = await openStore({ directory, atSign: '@alice', clock: systemClock })
        const { acknowledged, durable } = one.before
        await verify(store, acknowledged, true, durable).finally(() => store.close())
      } catch (error) {
        bad.push(`batch ${index}, ${ending}: ${shown(error)}`)
      }
      await rm(directory, { recursive: true })
    }
  }
  expect(bad).toEqual([])
  expect(steps.length).toBeGreaterThanOrEqual(batches)
})
