import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { crc32, deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { silent } from '../../src/core/log.ts'
import type { Store } from '../../src/core/storage.ts'
import { formatVersion } from '../../src/store/layout.ts'
import { type RestoreTarget, restoreSnapshot } from '../../src/store/snapshot.ts'
import { listSnapshots, restoreNewest, saveSnapshot, snapshotHeader } from '../../src/store/snapshot-files.ts'
import { createSnapshotEncoder, readSnapshot } from '../../src/store/snapshot-format.ts'
import { all, bare, enrollment, notification, opened, put, remove, start, temporary } from './fixtures.ts'

const signingKey = 'public:signing_publickey@alice'

/** The bytes of a snapshot, whole. */
const bytesOf = async (chunks: AsyncIterable<Uint8Array>): Promise<Buffer> => Buffer.concat(await all(chunks))

/** Bytes as a stream, cut into pieces. */
async function* stream(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const into = (directory: string, parts: Partial<RestoreTarget> = {}): RestoreTarget => ({
  target: join(directory, 'level'),
  atSign: '@alice',
  format: formatVersion,
  ...parts,
})

/** A store with something in every table. */
async function filled(directory: string): Promise<Store> {
  const store = await opened(directory)
  await store.write(async (tx) => {
    await put(tx, signingKey, 'the public half')
    await tx.putSecret('signing_privatekey', 'the private half')
    await put(tx, 'temperature.sensors@alice', '21.4', { expiresAt: start + 60_000 })
    await put(tx, 'gone.sensors@alice', '1')
    await remove(tx, 'gone.sensors@alice')
    await tx.enqueue(notification('n1'))
    await tx.putEnrollment(enrollment('e1'))
    await tx.putVisits('@bob', 3)
  })
  return store
}

/** Reads a snapshot to its end, or says why it is refused. */
async function verdict(bytes: Uint8Array, size?: number): Promise<string> {
  try {
    const reading = await readSnapshot(stream(bytes, size))
    await all(reading.blocks)
    return JSON.stringify(reading.end())
  } catch (error) {
    return error instanceof Error && 'reason' in error ? String(error.reason) : String(error)
  }
}

test('a snapshot gives back every row of the store', async () => {
  const [from, to] = [await temporary(), await temporary()]
  const store = await filled(from)
  const bytes = await bytesOf(store.snapshot())
  await store.close()
  const rows = await all((await bare(from)).scan({ prefix: '' }))
  const restored = await restoreSnapshot(stream(bytes), into(to))
  expect(restored).toEqual({
    ...{ atSign: '@alice', format: formatVersion, time: start, lastCommitId: 3 },
    ...{ rows: rows.length, records: 1, damaged: 0 },
  })
  const again = await opened(to)
  expect(await again.records.get('temperature.sensors@alice')).toMatchObject({ value: '21.4', commitId: 1 })
  expect(await again.records.get('gone.sensors@alice')).toBeUndefined()
  expect(await again.secret('signing_privatekey')).toBe('the private half')
  expect(await again.enrollments.get('e1')).toEqual(enrollment('e1'))
  expect(await again.outbox.pending('@bob', 10)).toMatchObject([{ place: 1, notification: notification('n1') }])
  expect(await all(again.visits.entries())).toEqual([['@bob', 3]])
  expect(await again.nextExpiry()).toBe(start + 60_000)
})

test('after a restore no commit id is issued twice, and a client that is ahead of the snapshot catches up', async () => {
  const [from, to] = [await temporary(), await temporary()]
  const store = await filled(from)
  const bytes = await bytesOf(store.snapshot())
  const lost = await store.write((tx) => put(tx, 'late.sensors@alice', '2'))
  await restoreSnapshot(stream(bytes), into(to))
  const again = await opened(to)
  const highest = again.commits.lastId()
  expect(highest).toBe(3 + limits.restoreCommitGap)
  const ahead = await all(again.commits.entries(lost))
  expect(ahead).toEqual([{ commitId: highest, key: signingKey, operation: '*', opTime: start }])
  expect(await again.records.get(signingKey)).toMatchObject({ value: 'the public half', commitId: highest })
  expect(await all(again.commits.gaps())).toEqual([{ from: 4, to: highest - 1 }])
  const next = await again.write((tx) => put(tx, 'late.sensors@alice', '3'))
  expect(next).toBe(highest + 1)
})

test('a snapshot is one instant, whatever is written while it is taken', async () => {
  const [from, to] = [await temporary(), await temporary()]
  const store = await opened(from)
  const value = 'x'.repeat(2000)
  const change = (round: number) =>
    store.write(async (tx) => {
      for (let i = 0; i < 100; i += 1) {
        await put(tx, `pair${i}.a@alice`, value, { version: round })
        await put(tx, `pair${i}.b@alice`, value, { version: round })
      }
    })
  await change(0)
  const chunks: Uint8Array[] = []
  let round = 0
  for await (const chunk of store.snapshot()) {
    chunks.push(chunk)
    round += 1
    await change(round)
  }
  expect(round).toBeGreaterThan(4)
  await restoreSnapshot(stream(Buffer.concat(chunks)), into(to))
  const again = await opened(to)
  const versions = (await all(again.records.entries())).map(([, { version }]) => version)
  expect(versions).toEqual(Array(200).fill(0))
})

test('one changed bit anywhere is noticed, however the bytes arrive', async () => {
  const store = await filled(await temporary())
  const bytes = await bytesOf(store.snapshot())
  const right = await verdict(bytes)
  expect(right).toContain('"rows":')
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes)
    changed[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
    expect(await verdict(changed), `byte ${at}`).toMatch(/^(?:damaged|foreign)$/)
  }
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length * 8 - 1), fc.integer({ min: 1, max: 3000 }), async (bit, size) => {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(await verdict(changed, size)).toMatch(/^(?:damaged|foreign)$/)
      expect(await verdict(bytes, size)).toBe(right)
    }),
  )
})

test('a snapshot that is cut off or goes on behind its end is refused', async () => {
  const store = await filled(await temporary())
  const bytes = await bytesOf(store.snapshot())
  for (let length = 0; length < bytes.length; length += 1) {
    expect(await verdict(bytes.subarray(0, length)), `${length} bytes`).toMatch(/^(?:damaged|foreign)$/)
  }
  expect(await verdict(Buffer.concat([bytes, Buffer.from([0])]))).toBe('damaged')
})

const plain = { atSign: '@alice', format: formatVersion, time: start, lastCommitId: 0 } as const

test.each([
  { what: 'another atSign', header: { ...plain, atSign: '@bob' as const }, reason: 'other-atsign' },
  { what: 'a newer store', header: { ...plain, format: formatVersion + 1 }, reason: 'newer' },
  {
    what: 'an impossible commit id',
    header: { ...plain, lastCommitId: Number.MAX_SAFE_INTEGER },
    reason: 'damaged',
  },
])('a snapshot of $what is refused and leaves nothing', async ({ header, reason }) => {
  const directory = await temporary()
  await mkdir(directory)
  const encoder = createSnapshotEncoder(header)
  const bytes = Buffer.concat([encoder.head, encoder.end({ rows: 0, damaged: 0 })])
  await expect(restoreSnapshot(stream(bytes), into(directory))).rejects.toMatchObject({ reason })
  expect(await readdir(directory)).toEqual([])
})

test('a newer version of the format is told apart from damage', async () => {
  const json = '{"new":true}'
  const line = `atedge snapshot 2 ${crc32(`2 ${json}`).toString(16).padStart(8, '0')} ${json}\n`
  expect(await verdict(Buffer.from(line))).toBe('newer')
  expect(await verdict(Buffer.from('-----BEGIN CERTIFICATE-----'))).toBe('foreign')
})

test('a block that would fill the memory is refused', async () => {
  const bomb = deflateRawSync(Buffer.alloc(limits.snapshotBlockBytes + 1))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bomb.length)
  expect(await verdict(Buffer.concat([createSnapshotEncoder(plain).head, length, bomb]))).toBe('damaged')
  length.writeUInt32BE(limits.snapshotBlockBytes + 1)
  expect(await verdict(Buffer.concat([createSnapshotEncoder(plain).head, length]))).toBe('damaged')
})

test('what lies in the way of a restore stays as it was', async () => {
  const directory = await temporary()
  const store = await filled(directory)
  const bytes = await bytesOf(store.snapshot())
  await expect(restoreSnapshot(stream(bytes), into(directory))).rejects.toThrow('is not empty')
  expect(await store.records.get('temperature.sensors@alice')).toMatchObject({ value: '21.4' })
})

test('damaged rows are copied as they are and counted', async () => {
  const [from, to] = [await temporary(), await temporary()]
  const closed = await filled(from)
  await closed.close()
  const database = await bare(from)
  await database.batch([{ key: '!records!temperature.sensors@alice', value: Buffer.from('rotten') }], true)
  await database.close()
  const store = await opened(from)
  const restored = await restoreSnapshot(store.snapshot(), into(to))
  expect(restored.damaged).toBe(1)
  const again = await opened(to)
  expect(() => again.records.get('temperature.sensors@alice')).toThrow('damaged')
  expect(await again.records.get(signingKey)).toMatchObject({ value: 'the public half' })
})

test('snapshot files are private, numbered, and only the newest are kept', async () => {
  const directory = await temporary()
  const store = await filled(directory)
  const folder = join(directory, 'snapshots')
  for (let i = 0; i < 5; i += 1) await saveSnapshot(folder, store.snapshot(), { keep: 3 })
  const files = await listSnapshots(folder)
  expect(files.map(({ number }) => number)).toEqual([5, 4, 3])
  expect((await stat(files[0]?.path ?? '')).mode & 0o777).toBe(0o600)
  expect((await stat(folder)).mode & 0o777).toBe(0o700)
  expect(await snapshotHeader(files[0]?.path ?? '')).toMatchObject({ atSign: '@alice', lastCommitId: 3 })
})

test('the last snapshot from before the store was damaged is kept beside the newest ones', async () => {
  const folder = join(await temporary(), 'snapshots')
  const save = (damaged: number): Promise<unknown> => {
    const encoder = createSnapshotEncoder(plain)
    return saveSnapshot(folder, stream(Buffer.concat([encoder.head, encoder.end({ rows: 0, damaged })])), { keep: 2 })
  }
  const numbers = async () => (await listSnapshots(folder)).map(({ number }) => number)
  for (const damaged of [0, 0, 1, 1, 1]) await save(damaged)
  expect(await numbers()).toEqual([5, 4, 2])
  await save(0)
  expect(await numbers()).toEqual([6, 5])
})

test('a snapshot that fails half-way, and one that was killed, leave nothing behind', async () => {
  const folder = await temporary()
  await mkdir(folder)
  await writeFile(join(folder, '000007.snapshot.tmp'), 'killed')
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('atedge')
    throw new Error('no space left on device')
  }
  await expect(saveSnapshot(folder, failing(), { keep: 3 })).rejects.toThrow('no space left')
  expect(await readdir(folder)).toEqual([])
})

test('the newest snapshot that is right is restored; damaged ones before it are named', async () => {
  const [from, to] = [await temporary(), await temporary()]
  const store = await filled(from)
  const folder = join(from, 'snapshots')
  for (const value of ['1', '2', '3', '4']) {
    await store.write((tx) => put(tx, 'temperature.sensors@alice', value))
    await saveSnapshot(folder, store.snapshot(), { keep: 10 })
  }
  const files = await listSnapshots(folder)
  const [newest = '', second = '', third = ''] = files.map(({ path }) => path)
  const bytes = await readFile(newest)
  await writeFile(newest, bytes.subarray(0, bytes.length - 40))
  const flipped = await readFile(second)
  flipped[300] = (flipped[300] ?? 0) ^ 1
  await writeFile(second, flipped)
  await mkdir(to)
  const restored = await restoreNewest(folder, into(to), silent)
  expect(restored).toMatchObject({ path: third, lastCommitId: 5, unusable: [{ path: newest }, { path: second }] })
  expect(await readdir(to)).toEqual(['level'])
  const again = await opened(to)
  expect(await again.records.get('temperature.sensors@alice')).toMatchObject({ value: '2' })
})

test('without a snapshot that is right nothing is restored', async () => {
  const directory = await temporary()
  await mkdir(join(directory, 'snapshots'), { recursive: true })
  await writeFile(join(directory, 'snapshots', '000001.snapshot'), 'atedge snapshot')
  expect(await restoreNewest(join(directory, 'snapshots'), into(directory), silent)).toBeUndefined()
  expect(await restoreNewest(join(directory, 'absent'), into(directory), silent)).toBeUndefined()
  expect(await readdir(directory)).toEqual(['snapshots'])
  expect(await readdir(dirname(directory))).toEqual(['data'])
})
