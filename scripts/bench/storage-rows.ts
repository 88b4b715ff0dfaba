import { execFile } from 'node:child_process'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { besideAppend, syncedAppend } from './append.ts'
import { absoluteRow, count, type Row } from './table.ts'
import type { World } from './world.ts'

// Rows of the store alone: what an hour of readings writes.

const run = promisify(execFile)

/** Runs one of the scripts beside this one in a process of its own and gives what it prints behind a word. */
async function said(script: string, args: readonly string[], word: string): Promise<string> {
  const path = join(import.meta.dirname, script)
  const { stdout } = await run(process.execPath, ['--import', 'tsx', path, ...args], { cwd: import.meta.dirname })
  if (!stdout.startsWith(word)) throw new Error(`${script} said ${stdout.slice(0, 200)}`)
  return stdout.slice(word.length).trim()
}

const bytes = (value: number): string => `${count(value)} bytes`

/** Ten readings a second, in an hour of simulated time. */
export async function hourRows(world: World, quick: boolean): Promise<Row[]> {
  const seconds = quick ? 360 : 3_600
  const made = join(world.folder, 'hour')
  await said('hour.ts', ['new', made], 'made')
  let hours = 0
  const hour = async (mode: string): Promise<number> => {
    const folder = `${made}-${++hours}`
    await cp(made, folder, { recursive: true })
    return Number(await said('hour.ts', [mode, folder, String(seconds)], 'written'))
  }
  /** File systems write a page of their own now and then, which is nothing beside durable readings. */
  const least = async (mode: string): Promise<number> => Math.min(await hour(mode), await hour(mode), await hour(mode))
  const readings = 10 * seconds
  const what = (mode: string): string => `device writes for a 200-byte reading, 10 a second for an hour, ${mode}`
  const durable = async (mode: string, how: string): Promise<Row> =>
    absoluteRow(what(how), (await hour(mode)) / readings, 1_500, bytes)
  const alone = (await hour('group')) / readings
  const append = await syncedAppend(world.folder)
  const [ephemeral, idle] = [await least('ephemeral'), await least('idle')]
  const fraction = (value: number): string => `${value.toFixed(1)} bytes`
  return [
    await durable('interval', 'durability interval (QoS 0)'),
    await durable('together', 'durability group (QoS 1), the ten of a second at once'),
    besideAppend(what('durability group (QoS 1), each alone'), alone, append),
    {
      ...absoluteRow(what('notify ephemeral'), Math.max(0, ephemeral - idle) / readings, 0, fraction),
      limit: `least of three hours: in all ${bytes(ephemeral)}, without readings ${bytes(idle)}`,
    },
  ]
}
