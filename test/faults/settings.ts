import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { onTestFinished } from 'vitest'

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
  // Inside the project, where packages are found.
  const outfile = join(here, '../../node_modules/.cache/atedge-faults', `${name}-${process.pid}.mjs`)
  await build({
    ...{ entryPoints: [join(here, `${name}.ts`)], outfile, bundle: true, platform: 'node', format: 'esm' },
    packages: 'external',
  })
  return outfile
}

/** A folder that goes with the test. */
export async function place(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-faults-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}
