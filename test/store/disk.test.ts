import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, unlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import type { Store } from '../../src/core/storage.ts'
import { createDiskBudget } from '../../src/store/disk.ts'
import { manualClock } from '../support/clock.ts'
import { all, enrollment, notification, opened, put, remove, start, temporary } from './fixtures.ts'

const MiB = 1_048_576
/** Small enough that 14 % of it are no plenty, large enough that 3 % are more than LevelDB wants. */
const total = 7000 * MiB

/** A store on a disk whose fill the test sets; `after` gives the fill once something was dropped. */
async function onDisk(dropping: readonly number[] = []) {
  const disk = { fill: 0.5 }
  const fills = [...dropping]
  const lines: string[] = []
  const store = await opened(
    await temporary(),
    { log: (level, message) => lines.push(`${level} ${message}`) },
    {
      async room() {
        const room = { totalBytes: total, freeBytes: total * (1 - disk.fill) }
        // Each measurement after the first one of a check sees what was dropped before it.
        disk.fill = fills.shift() ?? disk.fill
        return room
      },
    },
  )
  const fill = async (share: number) => {
    disk.fill = share
    await store.disk.check()
  }
  return { store, fill, lines }
}

async function stock(store: Store): Promise<void> {
  await store.write(async (tx) => {
    await put(tx, 'kept@alice', '1')
    await put(tx, 'expired@alice', '1', { expiresAt: start - 1 })
    await put(tx, 'cached:@alice:copy@bob', '1')
    await put(tx, 'cached:public:publickey@bob', '1')
    await tx.putNotification(notification('told', { status: 'delivered' }))
    await tx.enqueue(notification('waits'))
  })
}

/** LevelDB compresses all other text. */
const randomText = (bytes: number): string => randomBytes(bytes).toString('base64')

const held = async (store: Store) => [
  ...(await all(store.records.entries())).map(([key]) => key),
  ...(await all(store.notifications.since(-1))).map(({ id }) => id),
]

test('copies from before a database was put right count, and are the first to go', async () => {
  const directory = await temporary()
  // Beside such a memtable it is so little that it stays in the log, of which there are copies then; tables have links.
  const before = await opened(directory, {}, { memtableBytes: 64 * MiB })
  await before.write((tx) => put(tx, 'expired@alice', 'x'.repeat(100_000), { expiresAt: start - 1 }))
  await before.close()
  for (let round = 0; round < 2; round += 1) {
    await unlink(join(directory, 'level', 'CURRENT'))
    await (await opened(directory)).close()
  }
  const lines: string[] = []
  const fills = [0.9, 0.86]
  const room = async () => ({ totalBytes: total, freeBytes: total * (1 - (fills.shift() ?? 0.86)) })
  const store = await opened(directory, { log: (level, message) => lines.push(`${level} ${message}`) }, { room })
  const full = await store.size()
  lines.length = 0
  await store.disk.check()
  expect(lines).toEqual([
    'warn the disk is nearly full; what may be dropped is dropped',
    'info dropped to make room: copies from before the database was put right',
    'info the disk has room again',
  ])
  expect(await readdir(join(directory, 'aside'))).toEqual([])
  expect(full - (await store.size())).toBeGreaterThan(100_000)
  expect(await held(store)).toEqual(['expired@alice'])
})

test('copies from before a database was put right go after a month', async () => {
  const directory = await temporary()
  await (await opened(directory)).close()
  await unlink(join(directory, 'level', 'CURRENT'))
  const clock = manualClock(start)
  const store = await opened(directory, { clock })
  const copies = () => readdir(join(directory, 'aside'))
  // As if it had been made while the clock was in 1970, and looked at now.
  await utimes(join(directory, 'aside', '1'), 0, 0)
  await store.disk.check()
  clock.advance(29 * 86_400_000)
  await store.disk.check()
  expect(await copies()).toEqual(['1'])
  clock.advance(2 * 86_400_000)
  await store.disk.check()
  expect(await copies()).toEqual([])
})

test('on a disk with room nothing is dropped', async () => {
  const { store, fill, lines } = await onDisk()
  await stock(store)
  await fill(0.89)
  expect(await held(store)).toHaveLength(6)
  expect([store.disk.use().state, lines]).toEqual(['ok', []])
})

test('at 90 % what may be dropped is, in order, until there is room', async () => {
  const everything = ['cached:@alice:copy@bob', 'cached:public:publickey@bob', 'kept@alice', 'told', 'waits']
  const left = async (...dropping: number[]) => {
    const { store, fill, lines } = await onDisk(dropping)
    await stock(store)
    await fill(0.9)
    return { held: await held(store), lines }
  }
  const first = await left(0.9, 0.86)
  expect(first.held.sort()).toEqual(everything)
  expect(first.lines).toEqual([
    'warn the disk is nearly full; what may be dropped is dropped',
    'info dropped to make room: what has expired',
    'info the disk has room again',
  ])
  expect((await left(0.9, 0.88, 0.86)).held.sort()).toEqual(everything.filter((key) => !key.startsWith('cached:@')))
  expect((await left(0.9, 0.9, 0.9, 0.9)).held.sort()).toEqual(['cached:public:publickey@bob', 'kept@alice', 'waits'])
})

test('what was received is not dropped: nobody else has it, and a repeat is recognised by it', async () => {
  const { store, fill } = await onDisk([0.9, 0.9, 0.9])
  const door = notification('door', { from: '@bob', to: '@alice', type: 'received', status: 'delivered' })
  const own = notification('own', { from: '@alice', to: '@alice', type: 'self', status: 'delivered' })
  await store.write(async (tx) => {
    for (const one of [door, own]) await tx.putNotification(one)
  })
  await fill(0.9)
  expect((await held(store)).sort()).toEqual(['door', 'own'])
  expect(await store.notifications.has(door)).toBe(true)
})

test('at 97 % nothing grows any more; reads, deletes and what access depends on go on', async () => {
  const { store, fill, lines } = await onDisk()
  await stock(store)
  await fill(0.97)
  const refusal = { code: 'AT0002', closes: false, message: expect.stringContaining('the disk is full') }
  await expect(store.write((tx) => put(tx, 'new@alice', '1'))).rejects.toMatchObject(refusal)
  await expect(store.write((tx) => tx.enqueue(notification('n')))).rejects.toMatchObject(refusal)
  await expect(store.write((tx) => tx.putNotification(notification('n')))).rejects.toMatchObject(refusal)
  await store.write((tx) => remove(tx, 'kept@alice'))
  await store.write((tx) => tx.putEnrollment(enrollment('e', { state: 'revoked' })))
  const waiting = await store.outbox.pending('@bob', 1)
  expect(waiting).toHaveLength(1)
  expect(await store.records.get('kept@alice')).toBeUndefined()
  expect((await store.enrollments.get('e'))?.state).toBe('revoked')
  expect(store.disk.use()).toMatchObject({ state: 'full', freeBytes: expect.closeTo(0.03 * total, -1) })
  await fill(0.97)
  expect(lines.filter((line) => line.startsWith('error'))).toEqual([
    'error the disk is full; changes are refused until there is room',
  ])
})

test('it recovers by itself, and does not flutter', async () => {
  const { store, fill } = await onDisk()
  const write = () =>
    store
      .write((tx) => put(tx, 'a@alice', '1'))
      .then(
        () => 'taken',
        () => 'refused',
      )
  const seen: string[] = []
  for (const share of [0.97, 0.95, 0.93, 0.96, 0.86]) {
    await fill(share)
    seen.push(`${store.disk.use().state} ${await write()}`)
  }
  expect(seen).toEqual(['full refused', 'full refused', 'tight taken', 'tight taken', 'ok taken'])
})

test('the store keeps within the bytes that it may take, and has room again for what is written anew', async () => {
  const store = await opened(await temporary(), { maxBytes: 4 * MiB })
  const write = (n: number) => store.write((tx) => put(tx, `cached:@alice:n${n}@bob`, randomText(40_000)))
  let written = 0
  const outcome = async () => {
    for (; written < 400; written++) await write(written)
  }
  await outcome().catch(() => undefined)
  await store.disk.check()
  expect(await store.size()).toBeLessThan(5 * MiB)
  expect(store.disk.use().state).not.toBe('full')
  await write(1000)
})

const run = promisify(execFile)

/** A real file system of a few MiB; undefined where this user may not mount one. */
async function smallDisk(size: string): Promise<string | undefined> {
  const folder = await temporary()
  await mkdir(folder, { recursive: true })
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder])
  } catch {
    return undefined
  }
  onTestFinished(async () => {
    await run('umount', ['-l', folder])
  })
  return folder
}

test('on a real small disk the store stops growing before it is full, answers, and goes on when there is room', async ({
  annotate,
}) => {
  const folder = await smallDisk('192m')
  if (folder === undefined) {
    await annotate('this user may not mount a file system; the faults suite does it as root')
    return
  }
  const clock = manualClock(start)
  const store = await opened(`${folder}/data`, { clock })
  const value = () => randomText(60_000)
  let stored = 0
  const fill = async () => {
    for (; stored < 2000; stored++) await store.write((tx) => put(tx, `n${stored}@alice`, value()))
  }
  await expect(fill()).rejects.toMatchObject({ code: 'AT0002', message: expect.stringContaining('the disk is full') })
  expect(stored).toBeGreaterThan(100)
  expect((await store.records.get('n0@alice'))?.value).toHaveLength(80_000)
  for (let n = 0; n < stored; n++) await store.write((tx) => remove(tx, `n${n}@alice`))
  await store.disk.check()
  clock.advance(3_600_000)
  await store.disk.check()
  expect(store.disk.use().state).toBe('ok')
  await store.write((tx) => put(tx, 'again@alice', value()))
})

test('a disk that others keep tight is not rewritten every ten minutes, nor at all while nothing changes', async () => {
  const clock = manualClock(start)
  let rounds = 0
  const disk = createDiskBudget({
    room: async () => ({ totalBytes: total, freeBytes: 0.07 * total }),
    size: async () => MiB,
    ...{ maxBytes: undefined, clock, log: () => {}, steps: [] },
    spare: { what: 'nothing', run: async () => 0 },
    async compact() {
      rounds += 1
    },
  })
  const after = async (minutes: number, bytes: number): Promise<number> => {
    disk.wrote(bytes)
    clock.advance(minutes * 60_000)
    await disk.check()
    return rounds
  }
  const minutes = [0, 10, 10, 10, 20, 20, 40]
  const seen: number[] = []
  for (const pause of minutes) seen.push(await after(pause, 1))
  expect(seen).toEqual([1, 2, 2, 3, 3, 4, 4])
  clock.advance(10 * 86_400_000)
  await disk.check()
  expect(rounds).toBe(5)
  clock.advance(10 * 86_400_000)
  await disk.check()
  expect(rounds).toBe(5)
})
