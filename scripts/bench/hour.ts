// A process that stores ten readings a second for an hour of simulated time and prints what it had the kernel write for
// them: `tsx scripts/bench/hour.ts <group|interval|ephemeral> <folder> <seconds>`.
import { readFileSync } from 'node:fs'
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

type Mode = 'group' | 'interval' | 'ephemeral'

const modes: readonly string[] = ['group', 'interval', 'ephemeral'] satisfies Mode[]

/** Bytes that this process had the kernel write, less what was deleted before it went. */
function written(): number {
  const text = readFileSync('/proc/self/io', 'utf8')
  const number = (name: string): number => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN)
  return number('write_bytes') - number('cancelled_write_bytes')
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function store(client: AtClient, mode: Mode, sensor: number): Promise<void> {
  if (mode === 'ephemeral') await client.notify(`@peer:vibration.p${sensor}.sensors`, value, { ephemeral: true })
  else await client.put(`vibration.p${sensor}.sensors`, value, { durability: mode })
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
  const second = async (): Promise<void> => {
    for (let sensor = 0; sensor < perSecond; sensor++) {
      await store(client, mode, sensor)
      clock.advance(1_000 / perSecond)
    }
    await turn()
  }
  // Keys are exchanged, sessions opened and the logins counted before the hour begins.
  for (let elapsed = 0; elapsed <= settlingSeconds; elapsed++) await second()
  const before = written()
  for (let elapsed = 0; elapsed < seconds; elapsed++) await second()
  await client.close()
  const closing = server.close()
  clock.advance(60_000)
  await closing
  return (written() - before) / (seconds * perSecond)
}

const [mode = '', folder = '', seconds = ''] = process.argv.slice(2)
if (!modes.includes(mode)) throw new Error(`expected one of ${modes.join(', ')}, not ${mode}`)
process.stdout.write(`written ${await run(mode as Mode, folder, Number(seconds))}\n`)
process.exit(0)
