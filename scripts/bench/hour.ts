// A process that takes ten readings a second for an hour of simulated time and prints the bytes that it had the kernel
// write meanwhile: `tsx scripts/bench/hour.ts <group|together|interval|ephemeral|idle> <folder> <seconds>`.
import { readFileSync } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createAtServer } from '../../src/app.ts'
import { type AtClient, connectAtClient } from '../../src/client/client.ts'
import { AtError } from '../../src/core/errors.ts'
import { silent } from '../../src/core/log.ts'
import { activate } from '../../src/provision/activation.ts'
import { manualClock } from '../../test/support/clock.ts'

const atSign = '@device'
const perSecond = 10
const settlingSeconds = 61
const value = '21.5 '.repeat(40)

/** Of `together` the ten of a second come at once; in `idle` hours nobody sends any, but somebody looks something up each minute. */
type Mode = 'group' | 'together' | 'interval' | 'ephemeral' | 'idle'

const modes: readonly string[] = ['group', 'together', 'interval', 'ephemeral', 'idle'] satisfies Mode[]

/** Bytes that this process had the kernel write, less what was deleted before it went. */
function written(): number {
  const text = readFileSync('/proc/self/io', 'utf8')
  const number = (name: string): number => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN)
  return number('write_bytes') - number('cancelled_write_bytes')
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function store(client: AtClient, mode: Mode, sensor: number): Promise<void> {
  if (mode === 'ephemeral') await client.notify(`@peer:vibration.p${sensor}.sensors`, value, { ephemeral: true })
  else {
    const durability = mode === 'interval' ? 'interval' : 'group'
    await client.put(`vibration.p${sensor}.sensors`, value, { durability })
  }
}

/** Seconds after which the kernel writes what it holds back, whoever waits for it or not. */
const writeBackSeconds = 30

/** Does so: no half minute passes in here, and the kernel would put the changes of all the hour into one write. */
async function writeBack(folder: string): Promise<void> {
  const level = join(folder, 'level')
  for (const name of await readdir(level)) {
    // LevelDB removes files at any time.
    const file = await open(join(level, name), 'r').catch(() => undefined)
    await file?.datasync()
    await file?.close()
  }
}

/** What happens in a second. */
async function tick(mode: Mode, client: AtClient, advance: (ms: number) => void, number: number): Promise<void> {
  const sensors = Array.from({ length: perSecond }, (_, sensor) => sensor)
  // As a client does that sends to somebody whose key it does not get.
  if (mode === 'idle' && number % 60 === 0) await client.request('plookup:publickey@peer').catch(() => undefined)
  if (mode === 'together') await Promise.all(sensors.map((sensor) => store(client, mode, sensor)))
  for (const sensor of sensors) {
    if (mode !== 'idle' && mode !== 'together') await store(client, mode, sensor)
    advance(1_000 / perSecond)
  }
  await turn()
}

/** A device whose clock stands still unless told, and a client inside it. */
async function start(folder: string) {
  const clock = manualClock()
  const nobody = async () => {
    throw new AtError('AT0004', 'there is no network')
  }
  const server = await createAtServer({
    ...{ atSign, directory: folder, clock, log: silent, version: 'bench', scrubPerDay: 0 },
    resolver: { resolve: nobody },
    dial: nobody,
  })
  const connect = async () => server.connect()
  const keys = await activate({ atSign, secret: (await server.cramSecret()) ?? '', connect, clock })
  const durable = { group: async () => server.connect('group'), interval: async () => server.connect('interval') }
  const client = await connectAtClient({ atSign, keys, connect, durable, clock, unreachable: 'defer' })
  return { server, client, clock }
}

async function run(mode: Mode, folder: string, seconds: number): Promise<number> {
  const { server, client, clock } = await start(folder)
  const second = async (number: number): Promise<void> => {
    await tick(mode, client, clock.advance, number)
    if (number % writeBackSeconds === 0) await writeBack(folder)
  }
  // Keys are exchanged, sessions opened and the logins counted before the hour begins.
  for (let number = 1; number <= settlingSeconds; number++) await second(number)
  const before = written()
  for (let number = 1; number <= seconds; number++) await second(number)
  await client.close()
  const closing = server.close()
  clock.advance(60_000)
  await closing
  return written() - before
}

const [mode = '', folder = '', seconds = ''] = process.argv.slice(2)
if (!modes.includes(mode)) throw new Error(`expected one of ${modes.join(', ')}, not ${mode}`)
process.stdout.write(`written ${await run(mode as Mode, folder, Number(seconds))}\n`)
process.exit(0)
