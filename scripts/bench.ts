// Prints each budget of DESIGN section 10 beside its limit, measured in the same run: `npm run bench`. It judges nothing:
// the status is 0 unless something could not be run.
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { deviceRows } from './bench/device-rows.ts'
import { directoryRows } from './bench/directory-rows.ts'
import { prepare } from './bench/fixture.ts'
import { gateRows } from './bench/gate-row.ts'
import { growthRows } from './bench/growth.ts'
import { notifyRows } from './bench/notify-rows.ts'
import type { Pace } from './bench/numbers.ts'
import { polRow } from './bench/pol-row.ts'
import { hourRows } from './bench/storage-rows.ts'
import { circumstances, markdown, type Row } from './bench/table.ts'
import { wireRows } from './bench/wire-rows.ts'
import { createWorld } from './bench/world.ts'

const rowNames = [
  'lookup',
  'pipelined',
  'update',
  'login',
  'pol',
  'gate',
  'directory',
  'notify',
  'memory',
  'sensor',
  'wear',
  'growth',
  'start',
  'size',
] as const

const usage = `Usage: npm run bench -- [options]
  --quick           shorter runs, under 45 s
  --json            print JSON
  --only <rows>     some of ${rowNames.join(',')}
  --folder <path>   where data is written; the folder for temporary files unless told
  --dist <path>     where the bundle lies (dist)
  --profiles <path> write CPU profiles of our processes there; the figures are then worth nothing
`

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string', default: rowNames.join(',') },
    folder: { type: 'string' },
    dist: { type: 'string', default: 'dist' },
    profiles: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const thorough: Pace = { rounds: 5, runMs: 1_000, warmUpMs: 1_500, idleMs: 12_000 }
const hasty: Pace = { rounds: 3, runMs: 500, warmUpMs: 500, idleMs: 8_000 }

async function bench(): Promise<string> {
  const { quick, json, only, folder, dist, profiles } = values
  const pace = quick ? hasty : thorough
  const wanted = new Set(only.split(','))
  const unknown = [...wanted].filter((row) => !rowNames.some((name) => name === row))
  if (unknown.length > 0) throw new Error(`no row is called ${unknown.join(', ')}; see --help`)
  const say = (what: string): void => void process.stderr.write(`… ${what}\n`)
  const wants = (row: string): boolean => wanted.has(row)
  const where = circumstances()
  const world = createWorld(folder === undefined ? undefined : resolve(folder))
  say('certificates and keys')
  const bundle = resolve(dist, 'atedge.mjs')
  const fixture = await prepare(world, bundle, profiles === undefined ? undefined : resolve(profiles))
  const wire = ['lookup', 'pipelined', 'update', 'login'].some(wants)
    ? await wireRows(fixture, pace, wants, say)
    : { rows: [], notes: [] }
  const more: Row[] = []
  if (wants('pol')) {
    say('pol')
    more.push(await polRow(fixture, pace))
  }
  if (wants('gate')) {
    say('gate')
    more.push(...(await gateRows(world)))
  }
  if (wants('directory')) {
    say('directory')
    more.push(...(await directoryRows(fixture, pace)))
  }
  if (wants('notify')) {
    say('notify')
    more.push(...(await notifyRows(fixture, pace)))
  }
  if (wants('wear')) {
    say('an hour of readings')
    more.push(...(await hourRows(world, quick)))
  }
  if (wants('growth')) {
    say('growth')
    more.push(...(await growthRows(fixture, { ...pace, quick })))
  }
  const rows = [...wire.rows, ...more, ...(await deviceRows(fixture, { ...pace, quick }, wants, say))]
  return json ? JSON.stringify({ ...where, rows, notes: wire.notes }, null, 2) : markdown(rows, wire.notes, where)
}

if (values.help) process.stdout.write(usage)
else {
  const outcome = await bench().catch((error: Error) => error)
  if (outcome instanceof Error) {
    process.stderr.write(`bench: ${outcome.message}\n`)
    process.exit(1)
  }
  process.stdout.write(`${outcome}\n`)
  process.exit(0)
}
