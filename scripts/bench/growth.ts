import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { type Fixture, fillStore, type GrowthName, type RunningDevice, startDevice } from './fixture.ts'
import { drive, type Script } from './load.ts'
import { ask, logInTimes } from './login.ts'
import { median, type Pace, sleep } from './numbers.ts'
import { count, procNumber, type Row, ratioRow } from './table.ts'

// The shipped program on a store of a million records beside the same on a thousand: memory, lookups, pages from all over
// it, starts. Lookups are of two kinds: hot ones ask for as many keys as the small store has, from all over the large one;
// cold ones draw every key anew from all of it, so that hardly any is asked for twice.

const connections = 16
/** Cold keys of each connection: far more in all than the server keeps in memory. */
const keysEach = 4_000
const perPage = 1_000
/** Parts of the store in which pages are asked for, a few in a row in each. */
const places = 4
const inRow = 4

interface Side {
  readonly records: number
  readonly name: GrowthName
  readonly device: RunningDevice
  readonly sockets: readonly TLSSocket[]
  readonly hot: readonly Script[]
  readonly cold: readonly Script[]
}

const requestFor = (index: number, name: GrowthName): string =>
  `llookup:reading${String(Math.floor(index)).padStart(7, '0')}.bench${name}\n`

/** Every connection asks for the same few keys, evenly spread over the store, each in an order of its own. */
function hotScript(name: GrowthName, records: number, few: number): Script {
  const requests = Array.from({ length: few }, (_, index) => requestFor((index * records) / few, name))
  const order = requests.map((request) => ({ request, at: Math.random() })).sort((one, next) => one.at - next.at)
  return { requests: order.map(({ request }) => request), reply: 'data:' }
}

const coldScript = (name: GrowthName, records: number): Script => ({
  requests: Array.from({ length: keysEach }, () => requestFor(Math.random() * records, name)),
  reply: 'data:',
})

async function begin(fixture: Fixture, name: GrowthName, records: number, few: number): Promise<Side> {
  const { device } = await start(fixture, name)
  const sockets = await logInTimes(connections, device.target, device.owner)
  const hot = sockets.map(() => hotScript(name, records, few))
  const cold = sockets.map(() => coldScript(name, records))
  return { records, name, device, sockets, hot, cold }
}

async function start(fixture: Fixture, name: GrowthName) {
  const device = await startDevice(fixture, name, { until: /atServer listens/ })
  return { device, startMs: device.program.startMs }
}

const lookUp = (side: Side, which: 'hot' | 'cold', ms: number): Promise<number> =>
  drive(side.sockets, side[which], { depth: 1, ms })

/** Milliseconds for a page, a few in a row in several parts of the store; a small store has but one page. */
async function page({ sockets, records }: Side): Promise<number> {
  const [socket] = sockets
  if (socket === undefined) throw new Error('no connection')
  const last = Math.max(1, Math.floor(records / perPage))
  const times: number[] = []
  for (let place = 0; place < places; place++) {
    const first = 1 + Math.floor(((last - 1) * place) / places)
    for (let behind = 0; behind < inRow; behind++) {
      const began = performance.now()
      await ask(socket, `scan:page:${Math.min(first + behind, last)}`)
      times.push(performance.now() - began)
    }
  }
  return median(times)
}

interface Measured {
  readonly residentMiB: number
  readonly hot: number
  readonly cold: number
  readonly pageMs: number
}

/** Lookups in turns, so that whatever else the machine does weighs on both. */
async function rates(sides: readonly Side[], which: 'hot' | 'cold', pace: Pace): Promise<number[]> {
  const found = sides.map((): number[] => [])
  for (const side of sides) await lookUp(side, which, pace.warmUpMs)
  for (let round = 0; round < pace.rounds; round++) {
    for (const [index, side] of sides.entries()) found[index]?.push(await lookUp(side, which, pace.runMs))
  }
  return found.map(median)
}

async function measure(sides: readonly Side[], pace: Pace): Promise<Measured[]> {
  const [hot, cold] = [await rates(sides, 'hot', pace), await rates(sides, 'cold', pace)]
  const pages: number[] = []
  for (const side of sides) pages.push(await page(side))
  await sleep(pace.idleMs)
  return sides.map(({ device }, index) => ({
    residentMiB: procNumber(device.program.pid, 'status', 'VmRSS') / 1_024,
    hot: hot[index] ?? Number.NaN,
    cold: cold[index] ?? Number.NaN,
    pageMs: pages[index] ?? Number.NaN,
  }))
}

/** Has the next start believe that the machine was off meanwhile. */
async function forgetBoot(fixture: Fixture, name: GrowthName): Promise<void> {
  const path = join(fixture.world.folder, name.slice(1), 'store', 'starts.json')
  const { sum: _, ...note } = JSON.parse(await readFile(path, 'utf8'))
  await writeFile(path, JSON.stringify({ ...note, boot: 'another' }))
}

/** Milliseconds to listening after a stop, after a power cut, and after a run that may have ended of damage. */
async function startTimes(fixture: Fixture, { name, device }: Side) {
  await device.program.stop()
  const first = await start(fixture, name)
  await first.device.program.kill()
  await forgetBoot(fixture, name)
  const second = await start(fixture, name)
  await second.device.program.kill()
  const third = await start(fixture, name)
  await third.device.program.stop()
  return { stopped: first.startMs, cut: second.startMs, killed: third.startMs }
}

/** A large store beside a small one. */
export async function growthRows(fixture: Fixture, pace: Pace & { quick: boolean }): Promise<Row[]> {
  const [few, many] = pace.quick ? [1_000, 100_000] : [1_000, 1_000_000]
  await fillStore(fixture, '@few', few)
  await fillStore(fixture, '@lots', many)
  // A start right after the filling would read what was just written.
  const [small, large] = [await begin(fixture, '@few', few, few), await begin(fixture, '@lots', many, few)]
  const [one, other] = (await measure([small, large], pace)) as [Measured, Measured]
  for (const socket of [...small.sockets, ...large.sockets]) socket.destroy()
  const [before, after] = [await startTimes(fixture, small), await startTimes(fixture, large)]

  const MiB = (size: number): string => `${size.toFixed(0)} MiB`
  const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`
  const perSecond = (rate: number): string => `${count(rate)}/s`
  const row = (what: string, ours: number, limit: number, options: Omit<Parameters<typeof ratioRow>[2], 'limit'>) =>
    ratioRow(
      `${count(many)} records: ${what}`,
      { ours, beside: { limit, ratio: ours / limit } },
      { ...options, limit: `${count(few)} records` },
    )
  const shown = (what: string, ours: number, limit: number, format: (value: number) => string): Row => ({
    ...row(what, ours, limit, { format }),
    ...{ budget: '-', verdict: '-' },
  })
  const lookups = (which: string): string => `llookup of ${which}, ${connections} TLS connections`
  return [
    row('resident memory', other.residentMiB, one.residentMiB, { format: MiB, atMost: 1.15 }),
    row(lookups(`${count(few)} hot keys spread over all of it`), other.hot, one.hot, {
      ...{ format: perSecond, atLeast: 0.9 },
    }),
    shown(lookups('cold keys, each drawn from all of it'), other.cold, one.cold, perSecond),
    shown('a page of scan, from all over it', other.pageMs, one.pageMs, ms),
    shown('start to listening after a stop', after.stopped, before.stopped, ms),
    shown('start to listening after a power cut', after.cut, before.cut, ms),
    shown('start to listening after SIGKILL: every table is looked through', after.killed, before.killed, ms),
  ]
}
