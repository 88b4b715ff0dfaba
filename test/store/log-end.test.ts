import { readdir } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/store/database.ts'
import { temporary } from './fixtures.ts'

const newestLog = async (path: string): Promise<number> =>
  Math.max(...(await readdir(path)).filter((name) => name.endsWith('.log')).map((name) => Number.parseInt(name, 10)))

/** Rows of all lengths, removals among them. */
const batches = fc.array(
  fc.array(fc.record({ key: fc.nat(99_999), bytes: fc.oneof(fc.nat(300), fc.nat(3_000), fc.nat(20_000)) }), {
    minLength: 1,
    maxLength: 12,
  }),
  { minLength: 1_500, maxLength: 1_500, size: 'max' },
)

test('LevelDB never goes on to a new log without warning, and warnings are few', async () => {
  let all = 0
  await fc.assert(
    fc.asyncProperty(batches, fc.integer({ min: 100, max: 3_000 }), async (rows, most) => {
      const path = await temporary()
      const database = await openDatabase(path, { create: true, memtableBytes: 1_048_576 })
      let [changes, warnings, written] = [0, 0, 0]
      for (const row of rows) {
        const near = await database.isLogEnding()
        const before = await newestLog(path)
        const operations = row.map(({ key, bytes }) => ({
          key: `!records!reading${key}.bench@alice`,
          value: key % 10 === 0 ? undefined : Buffer.alloc(bytes % most, key),
        }))
        written += operations.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
        await database.batch(operations, false)
        if (near) warnings += 1
        if ((await newestLog(path)) === before) continue
        changes += 1
        expect(near, `log ${before} ended unexpectedly`).toBe(true)
      }
      await database.close()
      all += changes
      expect(warnings).toBeLessThanOrEqual(changes * 25 + 25)
      expect(changes).toBeGreaterThanOrEqual(Math.floor(written / 1_100_000) - 1)
    }),
    { numRuns: 12 },
  )
  expect(all).toBeGreaterThan(20)
})
