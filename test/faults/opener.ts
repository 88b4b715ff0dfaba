import { systemClock } from '../../src/core/clock.ts'
import { readTables } from '../../src/store/level.ts'
import { openStore } from '../../src/store/store.ts'

// A process that opens a store, and is killed while it does. It says when it begins.

const [directory = '', snapshots] = process.argv.slice(2)
await readTables()
process.stdout.write('begins\n')
await openStore({ directory, atSign: '@alice', clock: systemClock, snapshots })
setInterval(() => {}, 1_000)
