import { join } from 'node:path'
import type { Fixture } from './fixture.ts'
import type { NotifyTask } from './notify.ts'
import type { Pace } from './numbers.ts'
import { count, type Row } from './table.ts'
import { freePorts } from './world.ts'

/** Notifications of one atServer to some others in a second, each on flash on both sides, until their monitors show them. */
async function row(fixture: Fixture, pace: Pace, peers: number): Promise<Row> {
  const { world, files } = fixture
  const ms = pace.rounds * pace.runMs
  const ports = { first: await freePorts(peers + 1), peers }
  const task: NotifyTask = { folder: join(world.folder, `notify-${peers}`), files, ports, warmUpMs: pace.warmUpMs, ms }
  const args = ['--import', import.meta.resolve('tsx'), join(import.meta.dirname, 'notify.ts'), JSON.stringify(task)]
  // A slow disk takes its time to make a hundred stores; the other rows do not depend on it.
  const program = await world.start(process.execPath, args, /^rate/).catch(() => undefined)
  await program?.stop()
  return {
    what: `durable notifications to ${peers === 1 ? 'one peer' : `${peers} peers`}, all in one process`,
    measured: program === undefined ? 'not ready in time' : `${count(Number(program.line.slice('rate '.length)))}/s`,
    ...{ limit: '-', ratio: '-', budget: '-', verdict: '-' },
  }
}

export const notifyRows = async (fixture: Fixture, pace: Pace): Promise<Row[]> => [
  await row(fixture, pace, 1),
  await row(fixture, pace, 100),
]
