import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { onTestFinished } from 'vitest'
import { bundles, markOf, memory } from './leftovers.ts'

/** Every fault instead of a sample. */
export const full = process.env['ATEDGE_FAULTS'] === 'full'

/** How many of something: in CI, or of all. */
export const howMany = (short: number, all: number): number => (full ? all : short)

/** What a failure has to print to be repeated. */
export const seed = Number(process.env['ATEDGE_FAULTS_SEED'] ?? Date.now() % 1_000_000_007)

/** Numbers from 0 up to 1 that follow from the seed (mulberry32). */
export function createRandom(start: number): () => number {
  let state = start >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A program beside this file as one script, which starts several times faster than its sources. */
export async function bundled(name: string): Promise<string> {
  const here = fileURLToPath(new URL('.', import.meta.url))
  const outfile = join(bundles, `${markOf(process.pid)}${name}.mjs`)
  await build({
    ...{ entryPoints: [join(here, `${name}.ts`)], outfile, bundle: true, platform: 'node', format: 'esm' },
    packages: 'external',
  })
  return outfile
}

/** Room that a part may need in memory. */
const memoryBytes = 256 * 1024 * 1024

async function roomInMemory(): Promise<number> {
  const { bavail, bsize } = await statfs(memory)
  return bavail * bsize
}

async function folderIn(parent: string): Promise<string> {
  const folder = await mkdtemp(join(parent, markOf(process.pid)))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A folder that goes with the test. */
export const place = (): Promise<string> => folderIn(tmpdir())

/** The same in memory, where there is room: for what is harmed by hand, and asks nothing of a disk. */
export async function placeInMemory(): Promise<string> {
  const room = await roomInMemory().catch(() => 0)
  return folderIn(room > memoryBytes ? memory : tmpdir())
}

const progressMs = 60_000

/** Says about once a minute how far a long part is. @returns a function that is called for each of its steps */
export function createProgress(part: string, total: number): () => void {
  const begun = performance.now()
  let done = 0
  let said = begun
  return () => {
    done += 1
    const now = performance.now()
    if (!full || (now - said < progressMs && done !== total)) return
    said = now
    const rate = (done / ((now - begun) / 1_000)).toFixed(1)
    process.stdout.write(`${part}: ${done} of ${total}, ${rate} a second\n`)
  }
}
