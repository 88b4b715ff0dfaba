import { writeSync } from 'node:fs'
import { systemClock } from '../../src/core/clock.ts'
import { readTables } from '../../src/store/level.ts'
import { openStore } from '../../src/store/store.ts'
import { type Place, step } from './workload.ts'

// A process that writes until it is killed, and says on standard output what was acknowledged. Started with the folder of
// the store and with where each writer stands as JSON.

const [directory = '', places = '[]'] = process.argv.slice(2)
/** Full after some milliseconds, so that tables appear and are merged before the process is killed. */
const memtableBytes = 128 * 1024
await readTables()
const store = await openStore(
  { directory, atSign: '@alice', clock: systemClock, outboxPerPeer: 1_000_000 },
  { memtableBytes },
)
// At once and whole: what is said here is what the test holds the store to.
const say = (what: string, writer: number, number: number) => writeSync(1, `${what} ${writer} ${number}\n`)

async function count(writer: number, place: Place): Promise<never> {
  for (;;) await step(store, writer, place, say)
}

writeSync(1, 'ready 0 0\n')
await Promise.all((JSON.parse(places) as Place[]).map((place, writer) => count(writer, place)))
