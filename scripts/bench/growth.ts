// A process on a store of some records: `tsx scripts/bench/growth.ts fill <folder> <records>` writes them, and
// `… measure <folder> <records>` opens the store, looks up and pages through, and prints what that took.
import { createAtServer } from '../../src/app.ts'
import { connectAtClient } from '../../src/client/client.ts'
import { parseAtKey } from '../../src/core/at-key.ts'
import { systemClock } from '../../src/core/clock.ts'
import { AtError } from '../../src/core/errors.ts'
import { silent } from '../../src/core/log.ts'
import { activate } from '../../src/provision/activation.ts'
import { openStore } from '../../src/store/store.ts'
import { median, sleep } from './numbers.ts'
import { procNumber } from './table.ts'

const atSign = '@many'
const atOnce = 2_000
/** The same number in a small and in a large store, spread over all of it. */
const lookedUp = 1_000
const inFlight = 16
const rounds = 5
const perRound = 20_000
const pages = 20
const settleMs = 3_000

const keyOf = (index: number): string => `reading${String(index).padStart(7, '0')}.bench${atSign}`

async function fill(directory: string, records: number): Promise<void> {
  const store = await openStore({ directory, atSign, clock: systemClock })
  const opTime = Date.now()
  const record = { value: 'v'.repeat(200), metadata: { createdAt: opTime, updatedAt: opTime, version: 0 } }
  for (let from = 0; from < records; from += atOnce) {
    await store.write(async (tx) => {
      for (let index = from; index < Math.min(from + atOnce, records); index++) {
        await tx.putRecord(parseAtKey(keyOf(index)), record, { operation: '*', opTime, commit: true })
      }
    })
  }
  await store.close()
}

/** MiB of `/proc/self/status`. */
const memory = (name: string): number => procNumber(process.pid, 'status', name) / 1_024

async function open(directory: string) {
  const nobody = async () => {
    throw new AtError('AT0004', 'there is no network')
  }
  const began = performance.now()
  const server = await createAtServer({
    ...{ atSign, directory, clock: systemClock, log: silent, version: 'bench' },
    resolver: { resolve: nobody },
    dial: nobody,
  })
  const openMs = performance.now() - began
  const connect = async () => server.connect()
  const keys = await activate({ atSign, secret: (await server.cramSecret()) ?? '', connect, clock: systemClock })
  const client = await connectAtClient({ atSign, keys, connect, clock: systemClock })
  return { server, client, openMs }
}

async function measure(directory: string, records: number): Promise<Record<string, number>> {
  const { server, client, openMs } = await open(directory)
  const step = Math.max(1, Math.floor(records / lookedUp))
  let next = 0
  const ask = async (count: number): Promise<void> => {
    for (let asked = 0; asked < count; asked++) {
      next = (next + 1) % Math.min(lookedUp, records)
      const reply = await client.request(`llookup:${keyOf(next * step)}`)
      if (!reply.startsWith('data:v')) throw new Error(reply.slice(0, 100))
    }
  }
  const lookUp = async (): Promise<number> => {
    const began = performance.now()
    await Promise.all(Array.from({ length: inFlight }, () => ask(perRound / inFlight)))
    return (1_000 * perRound) / (performance.now() - began)
  }
  await lookUp()
  const rates: number[] = []
  for (let round = 0; round < rounds; round++) rates.push(await lookUp())
  // The same first page again and again: a small store has but one.
  const pageTimes: number[] = []
  for (let page = 0; page < pages; page++) {
    const began = performance.now()
    await client.request('scan:page:1')
    pageTimes.push(performance.now() - began)
  }
  await sleep(settleMs)
  const [rss, anon] = [memory('VmRSS'), memory('RssAnon')]
  await client.close()
  await server.close()
  return { openMs, lookups: median(rates), pageMs: median(pageTimes), rss, anon }
}

const [task, folder = '', count = ''] = process.argv.slice(2)
if (task === 'fill') {
  await fill(folder, Number(count))
  process.stdout.write('filled\n')
} else process.stdout.write(`measured ${JSON.stringify(await measure(folder, Number(count)))}\n`)
process.exit(0)
