import { copyFile, cp, link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { Durability } from '../../src/core/storage.ts'
import { openStore } from '../../src/store/store.ts'
import { manualClock } from '../support/clock.ts'
import { type Acknowledged, nothing, verify } from './check.ts'
import { createProgress, createRandom, howMany, place, placeInMemory, seed } from './settings.ts'
import { type Place, step, writers } from './workload.ts'

// A power cut takes what is in the page cache and not on flash. A real run is recorded: before and after every batch, how
// long each file is, and how long it was at its last sync. LevelDB only ever appends, so each of these states can be made
// again: what was synced is there; of the rest any part may be missing, zero or torn; files that were removed may be there
// still; what the list of tables (synced by LevelDB itself) does not name yet may be missing.

/** Runs that are recorded. */
const runs = howMany(1, 6)
/** Of 64 to 512 KiB in turn: many small tables that are merged, or long logs. */
const memtableOf = (run: number): number => 64 * 1024 * 2 ** (run % 4)
/** Batches of a run: a megabyte and more. All of it is read again after each. */
const batches = 260
/** Endings of each batch. */
const endings = howMany(1, 5)
/** Batches during which a table appears. */
const leastTables = 2

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

/** Lengths as they come; every file gets a second name under which it outlives its removal. */
async function glance(level: string, archive: string): Promise<Lengths> {
  const lengths: Lengths = new Map()
  for (const name of (await readdir(level)).filter(isContent)) {
    await link(join(level, name), join(archive, name)).catch(() => undefined)
    // LevelDB may have removed it before it got its second name.
    const info = await stat(join(archive, name)).catch(() => undefined)
    if (info !== undefined) lengths.set(name, info.size)
  }
  return lengths
}

const sizeOfLists = (lengths: Lengths): number =>
  [...lengths].reduce((sum, [name, size]) => sum + (name.startsWith('MANIFEST') ? size : 0), 0)

/** Lengths at one moment: LevelDB merges tables meanwhile, and removes those that its list does not name any more. */
async function look(level: string, archive: string): Promise<Lengths> {
  for (let before = await glance(level, archive); ; ) {
    const lengths = await glance(level, archive)
    // The list was the same all the while, so what it names was there when the names of the files were read.
    if (sizeOfLists(lengths) === sizeOfLists(before)) return lengths
    before = lengths
  }
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
  memtableBytes: number,
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
      memtableBytes,
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

const kinds: readonly Ending[] = ['lost', 'torn', 'zero', 'rot', 'whole']

/** Cuts every batch of a run off in the middle. @returns what must not be */
async function cutOff(
  durability: Durability,
  run: number,
  random: () => number,
  progress: () => void,
): Promise<string[]> {
  const recorded = await place()
  const { steps, archive: onDisk, marker } = await record(recorded, durability, memtableOf(run))
  expect(steps.length).toBeGreaterThanOrEqual(batches)
  const folder = await placeInMemory()
  const [archive, directory] = [join(folder, 'archive'), join(folder, 'cut')]
  await cp(onDisk, archive, { recursive: true })
  const bad: string[] = []
  for (const [index, one] of steps.entries()) {
    for (let turn = 0; turn < endings; turn += 1) {
      const ending = kinds[(index + turn) % kinds.length] ?? 'lost'
      await mkdir(join(directory, 'level'), { recursive: true })
      await writeFile(join(directory, 'store.json'), marker)
      await writeFile(join(directory, 'starts.json'), JSON.stringify({ early: 1 }))
      await make(one, archive, join(directory, 'level'), ending, random)
      try {
        const store = await openStore({ directory, atSign: '@alice', clock: systemClock })
        const { acknowledged, durable } = one.before
        await verify(store, acknowledged, true, durable).finally(() => store.close())
      } catch (error) {
        bad.push(`run ${run}, batch ${index}, ${ending}: ${shown(error)}`)
      }
      await rm(directory, { recursive: true })
      progress()
    }
  }
  return bad
}

test.each<[Durability, string]>([
  ['group', 'nothing that was acknowledged is lost'],
  ['interval', 'nothing is lost that was acknowledged an interval ago'],
])(
  `of ${runs * batches} batches and more in %s mode, each cut off in the middle, %s (seed ${seed})`,
  async (durability) => {
    const random = createRandom(seed)
    const progress = createProgress(`page cache, ${durability}`, runs * batches * endings)
    const bad: string[] = []
    for (let run = 0; run < runs; run += 1) bad.push(...(await cutOff(durability, run, random, progress)))
    expect(bad).toEqual([])
  },
)
