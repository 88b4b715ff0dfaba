import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { build } from 'esbuild'
import { absoluteRow, type Row } from './table.ts'
import type { World } from './world.ts'

const most = 10
const microseconds = (value: number): string => `${value.toFixed(1)} µs`

/** What the gate costs a command, alone on one core. */
export async function gateRows({ folder }: World): Promise<Row[]> {
  const outfile = join(folder, 'gate.mjs')
  const entry = join(import.meta.dirname, 'gate.ts')
  await build({ entryPoints: [entry], outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' })
  const { whole, dearest } = JSON.parse(execFileSync(process.execPath, [outfile], { encoding: 'utf8' })) as {
    whole: number
    dearest: { name: string; cost: number }
  }
  return [
    absoluteRow('gate: parse, permit, encode a llookup of a hot record', whole, most, microseconds),
    absoluteRow(`gate: parse and permit of the dearest verb, ${dearest.name}`, dearest.cost, most, microseconds),
  ]
}
