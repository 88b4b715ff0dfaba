import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { besideAppend, syncedAppend } from './append.ts'
import { type Fixture, fillStore, type RunningDevice, startDevice, startPeer } from './fixture.ts'
import { drive } from './load.ts'
import { logIn, logInTimes } from './login.ts'
import { inTurns, type Pace, quantile, sleep } from './numbers.ts'
import { startEmptyNode, startMosquittoPath } from './others.ts'
import { connectSensors, flood, oneByOne, placeIn, type SensorPath, trickle } from './sensors.ts'
import { absoluteRow, count, procNumber, type Row, ratioRow } from './table.ts'
import { freePorts, type Program } from './world.ts'

// Rows of the device: sensor to peer, memory, start, wear of the flash, size.

const sensorCount = 4
const inFlight = 64
const steadyRate = 200
/** DESIGN section 10: the slowest hundredth of the readings. */
const slowestMs = 25

/** Device and peer, each a process of its own, as the path that a reading takes. */
async function startOurPath(fixture: Fixture): Promise<{ path: SensorPath; device: RunningDevice; peer: Program }> {
  const peerPort = await freePorts(1)
  const device = await startDevice(fixture, '@device', { peerPort })
  const peer = await startPeer(fixture, { own: peerPort, directory: device.directoryPort })
  const monitor = await logIn(peer.target, peer.owner)
  const path: SensorPath = {
    sensors: await connectSensors(sensorCount, device.brokerPort),
    onArrival: () => undefined,
    close: () => void monitor.destroy(),
  }
  let held = ''
  monitor.on('data', (chunk: Buffer) => {
    const lines = (held + chunk.toString('latin1')).split('\n')
    held = lines.pop() ?? ''
    for (const line of lines) {
      // Statistics and host readings come over the same monitor.
      const place = placeIn(line)
      if (place !== -1) path.onArrival(place)
    }
  })
  monitor.write('monitor\n')
  return { path, device, peer: peer.program }
}

const perSecond = (rate: number): string => `${count(rate)}/s`
const milliseconds = (ms: number): string => `${ms.toFixed(1)} ms`

async function delays(path: SensorPath, pace: Pace): Promise<{ p50: number; p99: number }> {
  const took: number[] = []
  for (let round = 0; round < pace.rounds; round++) {
    took.push(...(await trickle(path, { perSecond: steadyRate, ms: pace.runMs })))
  }
  return { p50: quantile(took, 0.5), p99: quantile(took, 0.99) }
}

function delayRow(ours: { p50: number; p99: number }, limit: { p50: number; p99: number } | undefined): Row {
  const describe = ({ p50, p99 }: { p50: number; p99: number }) => `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}`
  return {
    what: `the same at ${steadyRate}/s: delay`,
    measured: describe(ours),
    limit: limit === undefined ? 'Mosquitto: not installed' : `Mosquitto bridge ${describe(limit)}`,
    ratio: '-',
    budget: `p99 under ${slowestMs} ms`,
    verdict: ours.p99 < slowestMs ? 'ok' : 'short',
  }
}

async function sensorRows(fixture: Fixture, path: SensorPath, pace: Pace): Promise<Row[]> {
  const other = await startMosquittoPath(fixture, sensorCount)
  const run = (which: SensorPath, ms: number) => flood(which, { inFlight, ms })
  await run(path, pace.warmUpMs)
  if (other !== undefined) await run(other, pace.warmUpMs)
  const beside = other === undefined ? undefined : () => run(other, pace.runMs)
  const sides = await inTurns(pace.rounds, () => run(path, pace.runMs), beside)
  const what = `sensor (MQTT QoS 1) to durable encrypted record to peer's monitor, ${inFlight} under way`
  const rate = ratioRow(what, sides, { format: perSecond, limit: 'Mosquitto TLS bridge, not durable', atLeast: 0.25 })
  const theirs = other === undefined ? undefined : await delays(other, pace)
  const rows = [rate, delayRow(await delays(path, pace), theirs)]
  other?.close()
  return rows
}

/** Readings of the wear rows; enough for LevelDB to move its log into a table. */
const worn = 2_000

const settleMs = 500
/** Merges of what the rows before left behind take some seconds. */
const calmMs = 30_000

/** Waits until a second goes by in which the device writes nothing. */
async function calm(pid: number): Promise<void> {
  let written = -1
  for (let waited = 0; waited < calmMs && written !== procNumber(pid, 'io', 'write_bytes'); waited += 1_000) {
    written = procNumber(pid, 'io', 'write_bytes')
    await sleep(1_000)
  }
}

/** Bytes that the device had the kernel write for each reading. */
async function wear(device: RunningDevice, topic: string, readings: number): Promise<number> {
  const [sensor] = await connectSensors(1, device.brokerPort)
  if (sensor === undefined) throw new Error('no sensor')
  await oneByOne(sensor, () => topic, 20)
  await calm(device.program.pid)
  const before = procNumber(device.program.pid, 'io', 'write_bytes')
  await oneByOne(sensor, () => topic, readings)
  await sleep(settleMs)
  const after = procNumber(device.program.pid, 'io', 'write_bytes')
  sensor.close()
  return (after - before) / readings
}

async function wearRows(fixture: Fixture, device: RunningDevice, quick: boolean): Promise<Row[]> {
  const bytes = (value: number): string => `${count(value)} bytes`
  const readings = quick ? worn / 10 : worn
  const append = await syncedAppend(fixture.world.folder)
  const [own, shared, told, live] = [
    await wear(device, 'own/p1', readings),
    await wear(device, 'sensors/p1/wear', readings),
    await wear(device, 'told/p1', readings),
    await wear(device, 'live/p1', readings),
  ]
  return [
    besideAppend('device writes for a durable 200-byte reading, each synced alone', own, append),
    besideAppend('the same, shared with a peer and delivered', shared, append),
    besideAppend('the same, notified without a record', told, append),
    absoluteRow('the same, notified to whoever listens (ephemeral)', live, 0, bytes),
  ]
}

const owners = 20
const records = 10_000

/** 10,000 records written over 20 connections that then stay, idle. */
async function memoryRow(fixture: Fixture, device: RunningDevice, pace: Pace): Promise<Row> {
  const sockets = await logInTimes(owners, device.target, device.owner)
  const each = records / owners
  const scripts = sockets.map((_, connection) => ({
    requests: Array.from({ length: each }, (_unused, index) => {
      const name = `c${String(connection).padStart(2, '0')}n${String(index).padStart(4, '0')}`
      return `update:${name}.bench@device ${'v'.repeat(200)}\n`
    }),
    reply: 'data:',
  }))
  await drive(sockets, scripts, { depth: each, ms: 0 })
  const empty = await startEmptyNode(fixture.world)
  await sleep(pace.idleMs)
  const rss = (pid: number): number => procNumber(pid, 'status', 'VmRSS') / 1_024
  const [ours, limit] = [rss(device.program.pid), rss(empty.pid)]
  await empty.stop()
  for (const socket of sockets) socket.destroy()
  const what = `memory: everything on, ${owners} connections, ${count(records)} records`
  const sides = { ours, beside: { limit, ratio: ours / limit } }
  return ratioRow(what, sides, { format: (size) => `${size.toFixed(0)} MiB`, limit: 'empty Node', atMost: 2 })
}

const stored = 100_000

async function startRow(fixture: Fixture, pace: Pace): Promise<Row> {
  await fillStore(fixture, '@many', stored)
  const timed = async (starting: Promise<Program>): Promise<number> => {
    const program = await starting
    await program.stop()
    return program.startMs
  }
  const ours = () => timed(startDevice(fixture, '@many', { until: /atServer listens/ }).then(({ program }) => program))
  const limit = () => timed(startEmptyNode(fixture.world))
  await ours()
  await limit()
  const sides = await inTurns(pace.rounds, ours, limit)
  const what = `start to listening, ${count(stored)} records`
  return ratioRow(what, sides, { format: (ms) => `${count(ms)} ms`, limit: 'empty Node to its first line', atMost: 4 })
}

/** The program with the parts that it reads while it runs. */
function sizeRow({ bundle }: Fixture): Row {
  const folder = dirname(bundle)
  const parts = readdirSync(folder).filter((name) => /^atedge.*\.mjs$/.test(name))
  const size = parts.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
  return absoluteRow('bundle', size, 1_500_000, (bytes) => `${(bytes / 1e6).toFixed(2)} MB`)
}

export type DeviceRow = 'memory' | 'sensor' | 'wear' | 'start' | 'size'

/** Measures the wanted rows; those before `start` on one device. */
export async function deviceRows(
  fixture: Fixture,
  pace: Pace & { quick: boolean },
  wants: (row: DeviceRow) => boolean,
  say: (what: string) => void,
): Promise<Row[]> {
  const rows: Row[] = []
  if (wants('sensor') || wants('wear') || wants('memory')) rows.push(...(await runningRows(fixture, pace, wants, say)))
  if (wants('start')) {
    say('start')
    rows.push(await startRow(fixture, pace))
  }
  if (wants('size')) rows.push(sizeRow(fixture))
  return rows
}

async function runningRows(
  fixture: Fixture,
  pace: Pace & { quick: boolean },
  wants: (row: DeviceRow) => boolean,
  say: (what: string) => void,
): Promise<Row[]> {
  const rows: Row[] = []
  const { path, device, peer } = await startOurPath(fixture)
  if (wants('memory')) {
    say('memory')
    rows.push(await memoryRow(fixture, device, pace))
  }
  if (wants('sensor')) {
    say('sensor')
    rows.unshift(...(await sensorRows(fixture, path, pace)))
  }
  if (wants('wear')) {
    say('wear')
    rows.push(...(await wearRows(fixture, device, pace.quick)))
  }
  path.close()
  await device.program.stop()
  await peer.stop()
  return rows
}
