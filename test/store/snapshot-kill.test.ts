import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { silent } from '../../src/core/log.ts'
import type { Store } from '../../src/core/storage.ts'
import { formatVersion } from '../../src/store/layout.ts'
import { listSnapshots, restoreNewest } from '../../src/store/snapshot-files.ts'
import { readSnapshot } from '../../src/store/snapshot-format.ts'
import { openStore } from '../../src/store/store.ts'
import { all, put, temporary } from './fixtures.ts'

const writer = fileURLToPath(new URL('killed-writer.ts', import.meta.url))

/** Several megabytes between the halves of what each writer writes, so that a snapshot takes many steps. */
async function addBallast(directory: string): Promise<void> {
  const store = await openStore({ directory, atSign: '@alice', clock: systemClock })
  await store.write(async (tx) => {
    for (let i = 0; i < 1_600; i += 1) await put(tx, `w${i % 8}.aa${i}@alice`, 'x'.repeat(2_000))
  })
  await store.close()
}

/** Has a process write and make snapshots, and kills it some lines after a snapshot has begun. */
async function killDuringSnapshot(directory: string, folder: string, offset: number, lines: number): Promise<void> {
  const child = spawn(process.execPath, ['--import', 'tsx', writer, directory, `${offset}`, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let left = lines
  for await (const _ of createInterface(child.stdout)) {
    if (left === lines && !(await readdir(folder)).some((name) => name.endsWith('.tmp'))) continue
    left -= 1
    if (left === 0) child.kill('SIGKILL')
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** Both records and the notification of each writer carry the number of one change. */
async function expectOneInstant(store: Store): Promise<void> {
  // One that replaces another waits behind it: the last one counts.
  const queued = await store.outbox.pending('@bob', 100_000)
  const waiting = new Map(queued.map(({ notification: { id, at } }) => [id, at]))
  for (let name = 0; name < 8; name += 1) {
    const [a, b] = [await store.records.get(`w${name}.a@alice`), await store.records.get(`w${name}.b@alice`)]
    expect(b?.metadata.version).toBe(a?.metadata.version)
    expect(waiting.get(`w${name}`)).toBe(a?.metadata.version)
    const ids = (await all(store.commits.entries())).map(({ commitId }) => commitId)
    for (const record of [a, b]) expect(record === undefined || ids.includes(record.commitId)).toBe(true)
  }
}

test('a snapshot under load is one instant, and a kill in the middle of one leaves only whole ones', {
  timeout: 120_000,
}, async () => {
  const [directory, copy] = [await temporary(), await temporary()]
  const folder = join(directory, 'snapshots')
  await addBallast(directory)
  await mkdir(folder)
  for (const [round, lines] of [60, 7].entries()) {
    await killDuringSnapshot(directory, folder, (round + 1) * 1_000_000, lines)
    for (const { path } of await listSnapshots(folder)) {
      const reading = await readSnapshot(createReadStream(path))
      expect((await all(reading.blocks)).flat().length).toBe(reading.end()?.rows)
    }
  }
  // The kills may have come before the first was whole.
  await killDuringSnapshot(directory, folder, 5_000_000, 1_500)
  expect((await listSnapshots(folder)).length).toBeGreaterThan(0)
  const target = { target: join(copy, 'level'), atSign: '@alice', format: formatVersion } as const
  await mkdir(copy)
  expect(await restoreNewest(folder, target, silent)).toMatchObject({ atSign: '@alice', damaged: 0, unusable: [] })
  const store = await openStore({ directory: copy, atSign: '@alice', clock: systemClock })
  await expectOneInstant(store)
  await store.close()
})
