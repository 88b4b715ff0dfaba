import { copyFile, link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock as clock } from '../../src/core/clock.ts'
import { openStore } from '../../src/store/store.ts'
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

/** Length of each file of LevelDB at one moment. */
type Lengths = Map<string, number>

interface Moment {
  readonly lengths: Lengths
  /** Of the logs, what a power cut leaves for sure. */
  readonly synced: Lengths
  readonly acknowledged: Acknowledged
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

async function record(folder: string): Promise<{ steps: Step[]; archive: string; marker: string }> {
  const [directory, archive] = [join(folder, 'store'), join(folder, 'archive')]
  const level = join(directory, 'level')
  await mkdir(archive)
  const acknowledged = nothing()
  const steps: Step[] = []
  let synced: Lengths = new Map()
  let started = false
  const isLongEnough = (): boolean => {
    const tables = steps.filter(({ before, after }) =>
      [...after.keys()].some((name) => isNewTable(name, before.lengths)),
    )
    return steps.length >= batches && tables.length >= leastTables
  }
  const store = await openStore(
    { directory, atSign: '@alice', clock, outboxPerPeer: 1_000_000 },
    {
      async aroundBatch(write, _, sync) {
        const before = { lengths: await look(level, archive), synced, acknowledged: copyOf(acknowledged) }
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
  const work = async (writer: number): Promise<void> => {
    const at: Place = { change: -1, delivery: -1 }
    while (!isLongEnough()) {
      await step(store, writer, at, (what, _, number) => {
        acknowledged[what][writer] = number
      })
    }
  }
  await Promise.all(Array.from({ length: writers }, (_, writer) => work(writer)))
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

test(`of ${batches} batches and more, each cut off in the middle, nothing that was acknowledged is lost (seed ${seed})`, async () => {
  const random = createRandom(seed)
  const folder = await place()
  const { steps, archive, marker } = await record(folder)
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
        const store = await openStore({ directory, atSign: '@alice', clock })
        await verify(store, one.before.acknowledged, true).finally(() => store.close())
      } catch (error) {
        bad.push(`batch ${index}, ${ending}: ${shown(error)}`)
      }
      await rm(directory, { recursive: true })
    }
  }
  expect(bad).toEqual([])
  expect(steps.length).toBeGreaterThanOrEqual(batches)
})
