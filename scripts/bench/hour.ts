// A process that takes ten readings a second for an hour of simulated time and prints the bytes that it had the kernel
// write meanwhile: `tsx scripts/bench/hour.ts <group|together|interval|ephemeral|idle> <folder> <seconds>`. The folder comes
// from `tsx scripts/bench/hour.ts new <folder>`: each hour begins with a copy of it, so that they differ by nothing else.
import { readFileSync } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createAtServer } from '../../src/app.ts'
import { type AtClient, connectAtClient } from '../../src/client/client.ts'
import { AtError } from '../../src/core/errors.ts'
import { silent } from '../../src/core/log.ts'
import { type AtKeys, readKeysFile, writeKeysFile } from '../../src/crypto/keys-file.ts'
import { activate } from '../../src/provision/activation.ts'
import { manualClock } from '../../test/support/clock.ts'

/** When the device is made, and when its hour begins. */
const madeAt = Date.UTC(2026, 0, 31, 10)
const beginsAt = madeAt + 86_400_000
const atSign = '@device'
const perSecond = 10
const settlingSeconds = 61
/** Notifications live for a quarter of an hour, and what has expired goes within ten minutes. */
const madeSeconds = 1_600
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
  const level = join(folder, 'store', 'level')
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

/** A device whose clock stands still unless told. */
async function start(folder: string, at: number) {
  const clock = manualClock(at)
  const nobody = async () => {
    throw new AtError('AT0004', 'there is no network')
  }
  const server = await createAtServer({
    ...{ atSign, directory: join(folder, 'store'), clock, log: silent, version: 'bench', scrubPerDay: 0 },
    resolver: { resolve: nobody },
    dial: nobody,
  })
  const connect = async () => server.connect()
  const durable = { group: async () => server.connect('group'), interval: async () => server.connect('interval') }
  const log = (keys: AtKeys) => connectAtClient({ atSign, keys, connect, durable, clock, unreachable: 'defer' })
  const second = async (mode: Mode, client: AtClient, number: number): Promise<void> => {
    await tick(mode, client, clock.advance, number)
    if (number % writeBackSeconds === 0) await writeBack(folder)
  }
  const end = async (client: AtClient): Promise<void> => {
    await client.close()
    const closing = server.close()
    clock.advance(60_000)
    await closing
  }
  return { server, connect, log, clock, second, end }
}

const keysIn = (folder: string): string => join(folder, 'keys.atKeys')

/** Makes a device whose owner has cut a key for @peer, long enough ago for all that came of it to be over. */
async function make(folder: string): Promise<void> {
  const { server, connect, log, clock, second, end } = await start(folder, madeAt)
  const keys = await activate({ atSign, secret: (await server.cramSecret()) ?? '', connect, clock })
  await writeKeysFile(keysIn(folder), keys)
  const client = await log(keys)
  await store(client, 'ephemeral', 0)
  await store(client, 'group', 0)
  for (let number = 1; number <= madeSeconds; number++) await second('idle', client, number)
  await end(client)
}

async function run(mode: Mode, folder: string, seconds: number): Promise<number> {
  const { log, second, end } = await start(folder, beginsAt)
  const client = await log(await readKeysFile(keysIn(folder), atSign))
  // Sessions are opened and the logins counted before the hour begins.
  for (let number = 1; number <= settlingSeconds; number++) await second(mode, client, number)
  const before = written()
  for (let number = 1; number <= seconds; number++) await second(mode, client, number)
  // What waits for the next half minute belongs to this hour, what a stop writes does not.
  await writeBack(folder)
  const bytes = written() - before
  await end(client)
  return bytes
}

const [mode = '', folder = '', seconds = ''] = process.argv.slice(2)
if (mode === 'new') {
  await make(folder)
  process.stdout.write('made\n')
} else {
  if (!modes.includes(mode)) throw new Error(`expected new or one of ${modes.join(', ')}, not ${mode}`)
  process.stdout.write(`written ${await run(mode as Mode, folder, Number(seconds))}\n`)
}
process.exit(0)
