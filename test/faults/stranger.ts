import { systemClock } from '../../src/core/clock.ts'
import { reasonOf, StoreRefusal } from '../../src/store/refusal.ts'
import { openStore } from '../../src/store/store.ts'

// Opens a store as a user to whom it does not belong, since root may do everything, and says what came of it.

/** Its one line on standard output. */
export interface Stranger {
  readonly refused?: string
  readonly state?: string
  readonly value?: string | null
  readonly write?: string
}

const nobody = 65_534
process.setgid?.(nobody)
process.setuid?.(nobody)

async function look(directory: string): Promise<Stranger> {
  const store = await openStore({ directory, atSign: '@alice', clock: systemClock })
  const value = (await store.records.get('key0@alice'))?.value ?? null
  const write = await store
    .write((tx) => tx.putSecret('x', 'y'))
    .then(
      () => 'taken',
      (error: unknown) => String(error),
    )
  const { state } = store.health()
  await store.close()
  return { state, value, write }
}

const said = await look(process.argv[2] ?? '').catch(
  (error: unknown): Stranger => ({
    refused: error instanceof StoreRefusal ? `${error.reason}: ${error.message}` : `fault: ${reasonOf(error)}`,
  }),
)
process.stdout.write(JSON.stringify(said))
