import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { silent } from '../../src/core/log.ts'
import { createWearMeter, kernelBytes } from '../../src/device/wear.ts'
import { opened, put, temporary } from '../store/fixtures.ts'
import { manualClock } from '../support/clock.ts'

const hour = 3_600_000
const day = 24 * hour
const midnight = Date.UTC(2026, 0, 31)

/** A device whose kernel counts what the test says. */
async function device(directory: string, clock = manualClock(midnight)) {
  const io = { bytes: 5_000 }
  const store = await opened(directory, { clock })
  const meter = await createWearMeter({ store, clock, log: silent, enduranceBytes: 1e9, bytes: () => io.bytes })
  const stop = async () => {
    await meter.close()
    await store.close()
  }
  return { io, clock, meter, stop }
}

test('counts what was written since the start, and says nothing of the future in the first hour', async () => {
  const { io, clock, meter } = await device(await temporary())
  io.bytes += 1_000
  clock.advance(hour - 1)
  expect(meter.read()).toEqual({
    ...{ totalBytes: 1_000, since: midnight, bytesPerDay: undefined },
    ...{ enduranceBytes: 1e9, yearsLeft: undefined, source: 'kernel' },
  })
  clock.advance(1)
  expect(meter.read()).toMatchObject({ bytesPerDay: 24_000, yearsLeft: 100 })
})

test('projects from the last whole day, and goes on counting after a restart', async () => {
  const directory = await temporary()
  const first = await device(directory)
  first.io.bytes += 1_000_000
  first.clock.advance(day)
  expect(first.meter.read()).toMatchObject({ totalBytes: 1_000_000, bytesPerDay: 1_000_000, yearsLeft: 2.7 })
  first.io.bytes += 500_000
  await first.stop()

  const { io, clock, meter } = await device(directory, manualClock(midnight + day + hour))
  expect(meter.read()).toMatchObject({ totalBytes: 1_500_000, since: midnight, bytesPerDay: 1_000_000 })
  io.bytes += 100_000
  clock.advance(23 * hour)
  expect(meter.read()).toMatchObject({ totalBytes: 1_600_000, bytesPerDay: 600_000 })
})

test('where the kernel does not count, the store does', async () => {
  const clock = manualClock(midnight)
  // Four times as much is written, and LevelDB does not fill a memtable before the one before it is a table.
  const store = await opened(await temporary(), { clock }, { memtableBytes: 1_048_576 })
  const meter = await createWearMeter({ store, clock, log: silent, enduranceBytes: 1e9, bytes: () => undefined })
  // Random text: LevelDB compresses all other.
  const value = () => Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64')
  for (let n = 0; n < 60; n++) await store.write((tx) => put(tx, `n${n}@alice`, value()))
  expect(meter.read()).toMatchObject({ source: 'store', totalBytes: expect.any(Number) })
  expect(meter.read().totalBytes).toBeGreaterThan(60 * 80_000 + 2 * 1_048_576)
})

test('reads what the kernel says, and bears what it does not', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-wear-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'io')
  expect(kernelBytes(path)).toBeUndefined()
  await writeFile(path, 'rchar: 1\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n')
  expect(kernelBytes(path)).toBe(4_096)
  await writeFile(path, 'nonsense')
  expect(kernelBytes(path)).toBeUndefined()
})
