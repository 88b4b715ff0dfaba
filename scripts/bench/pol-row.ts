import { join } from 'node:path'
import { type Fixture, startDevice } from './fixture.ts'
import { dial, repeat } from './load.ts'
import type { Pace } from './numbers.ts'
import { startEcho } from './others.ts'
import type { PolTask } from './pol.ts'
import { count, type Row } from './table.ts'
import { freePorts } from './world.ts'

/** Peers that connect at the same time. */
const width = 8

/** Peers that connect to a device and prove themselves, which makes the device ask theirs; handshakes alone beside it. */
export async function polRow(fixture: Fixture, pace: Pace): Promise<Row> {
  const { world, files, trust } = fixture
  const first = await freePorts(width)
  const peers = Object.fromEntries(Array.from({ length: width }, (_, i) => [`@peer${i}`, first + i]))
  const entries = Object.fromEntries(Object.entries(peers).map(([atSign, port]) => [atSign, `localhost:${port}`]))
  const device = await startDevice(fixture, '@device', { entries })
  const ms = pace.rounds * pace.runMs
  const target = { atSign: '@device' as const, port: device.target.port }
  const task: PolTask = { folder: world.folder, files, target, peers, warmUpMs: pace.warmUpMs, ms }
  const script = join(import.meta.dirname, 'pol.ts')
  const args = ['--import', import.meta.resolve('tsx'), script, JSON.stringify(task)]
  const { line } = await world.start(process.execPath, args, /^rate/)
  await device.program.stop()
  const rate = Number(line.slice('rate '.length))
  const echo = { port: (await startEcho(fixture, 'unused\n')).port, trust }
  const limit = await repeat(async () => void (await dial(echo)).destroy(), { width, ms: pace.runMs })
  return {
    what: `peers that connect, from and pol, ${width} at a time`,
    measured: `${count(rate)}/s`,
    limit: `TLS handshakes alone ${count(limit)}/s`,
    ratio: (rate / limit).toFixed(2),
    budget: '-',
    verdict: '-',
  }
}
