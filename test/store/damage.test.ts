import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Store } from '../../src/core/storage.ts'
import { seal, unseal } from '../../src/store/seal.ts'
import { all, bare, notification, opened, put, remove, temporary } from './fixtures.ts'

/** Flips one bit of the stored value whose key starts with `prefix`. */
async function flip(directory: string, prefix: string): Promise<void> {
  const database = await bare(directory)
  for await (const [key, value] of database.scan({ prefix, limit: 1 })) {
    const bytes = Uint8Array.from(value)
    bytes[bytes.length - 2] = (bytes.at(-2) ?? 0) ^ 4
    await database.batch([{ key, value: bytes }], true)
  }
  await database.close()
}

async function filled(directory: string): Promise<Store> {
  const store = await opened(directory)
  await store.write(async (tx) => {
    await put(tx, 'a@alice', 'one')
    await put(tx, 'b@alice', 'two')
    await tx.enqueue(notification('n1'))
    await tx.enqueue(notification('n2'))
    await tx.putSecret('cram', 'hush')
  })
  return store
}

async function damaged(prefix: string) {
  const directory = await temporary()
  await (await filled(directory)).close()
  await flip(directory, prefix)
  const lines: string[] = []
  return { store: await opened(directory, { log: (_, message) => lines.push(message) }), lines }
}

test('no flipped bit of a stored value goes unseen, and no value passes for that of another key', () => {
  const key = '!records!phone.wavi@alice'
  const stored = seal(key, '["21.4",{"version":3},7]')
  expect(unseal(key, stored)).toBe('["21.4",{"version":3},7]')
  for (let bit = 0; bit < stored.length * 8; bit += 1) {
    const bytes = Uint8Array.from(stored)
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(unseal(key, bytes)).toBeUndefined()
  }
  expect(unseal('!records!phone.wavi@bob', stored)).toBeUndefined()
  for (let length = 0; length < stored.length; length += 1)
    expect(unseal(key, stored.subarray(0, length))).toBeUndefined()
})

test('a damaged record is an error for that record alone, reported once', async () => {
  const { store, lines } = await damaged('!records!a')
  const error = { code: 'AT0002', message: 'record a@alice is damaged', closes: false }
  await expect(async () => store.records.get('a@alice')).rejects.toMatchObject(error)
  await expect(store.write((tx) => tx.record('a@alice'))).rejects.toMatchObject(error)
  expect((await store.records.get('b@alice'))?.value).toBe('two')
  expect((await all(store.records.entries())).map(([key]) => key)).toEqual(['b@alice'])
  expect([lines, store.health().report?.found]).toEqual([['record a@alice is damaged'], 1])
})

test('a damaged record can be written anew and removed, and has one commit entry all the same', async () => {
  for (const change of [put, remove]) {
    const { store } = await damaged('!records!a')
    await store.write((tx) => (change === put ? put(tx, 'a@alice', 'new') : remove(tx, 'a@alice')))
    expect((await store.records.get('a@alice'))?.value).toBe(change === put ? 'new' : undefined)
    expect((await all(store.commits.entries())).map(({ commitId, key }) => [commitId, key])).toEqual([
      [1, 'b@alice'],
      [2, 'a@alice'],
    ])
  }
})

test('a damaged commit entry is left out and its id is not issued again', async () => {
  const { store } = await damaged('!commits!')
  expect((await all(store.commits.entries())).map(({ key }) => key)).toEqual(['b@alice'])
  expect(await store.write((tx) => put(tx, 'c@alice', '1'))).toBe(2)
})

test('a damaged high-water mark is taken from the log', async () => {
  const { store } = await damaged('!meta!commit')
  expect(store.commits.lastId()).toBe(1)
})

test('damage to one notification leaves the others, in every list', async () => {
  for (const prefix of ['!notifications!', '!notification-states!']) {
    const { store } = await damaged(prefix)
    await expect(store.notifications.get('n1')).rejects.toMatchObject({ code: 'AT0002' })
    expect((await all(store.notifications.since(0))).map(({ id }) => id)).toEqual(['n2'])
    expect((await store.outbox.pending('@bob', 5)).map(({ notification: { id } }) => id)).toEqual(['n2'])
  }
})

test('an outbox entry that lost its notification is dropped when the store opens', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  await store.write((tx) => tx.enqueue(notification('n1')))
  await store.close()
  await flip(directory, '!notification-states!')
  const again = await opened(directory)
  expect(await again.outbox.recipients()).toEqual([])
})

test('a damaged secret is an error that does not show it', async () => {
  const { store } = await damaged('!secrets!')
  await expect(store.secret('cram')).rejects.toThrow('secret cram is damaged')
})

async function inTable(harm: (bytes: Buffer, at: number) => void) {
  const directory = await temporary()
  const store = await opened(directory)
  const values = Array.from({ length: 20 }, () => randomBytes(60).toString('hex'))
  await store.write(async (tx) => {
    for (const [n, value] of values.entries()) await put(tx, `key${n}@alice`, value)
  })
  await store.close()
  // Opening turns the log into a table.
  await (await opened(directory)).close()
  const level = join(directory, 'level')
  const [table = ''] = (await readdir(level)).filter((name) => name.endsWith('.ldb'))
  const bytes = await readFile(join(level, table))
  const place = values.map((value) => bytes.indexOf(value.slice(8, 24)))
  harm(bytes, place.find((at) => at !== -1) ?? 0)
  await writeFile(join(level, table), bytes)
  return { store: await opened(directory), values }
}

test('a bit that flips inside a table file is put right before LevelDB sees it', async () => {
  const { store, values } = await inTable((bytes, at) => {
    bytes[at] = (bytes[at] ?? 0) ^ 1
  })
  expect(
    (await Promise.all(values.map(async (_, n) => store.records.get(`key${n}@alice`)))).map((one) => one?.value),
  ).toEqual(values)
  expect(store.health().report?.steps.join()).toContain('were put right; nothing is lost')
})

test('more damage to a table than can be put right costs one block, which is named, and gives no wrong value', async () => {
  const { store, values } = await inTable((bytes, at) => bytes.fill(0x55, at, at + 8))
  const lost: string[] = []
  for (const [n, value] of values.entries()) {
    const record = await store.records.get(`key${n}@alice`)
    if (record === undefined) lost.push(`key${n}@alice`)
    else expect(record.value).toBe(value)
  }
  const { state, report } = store.health()
  expect([state, lost.length > 0]).toEqual(['repaired', true])
  expect(report?.findings.some(({ what }) => what.startsWith('part of table'))).toBe(true)
})
