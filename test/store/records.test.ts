import { expect, test } from 'vitest'
import { all, bare, enrollment, notification, opened, put, remove, start, temporary } from './fixtures.ts'

const phone = 'phone.wavi@alice'
const city = 'public:city@alice'

test('a record is there after the store was closed and opened again', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  const metadata = { createdBy: '@alice', createdAt: start, isEncrypted: true } as const
  await store.write((tx) => put(tx, phone, 'naïve \u{1f600} "text"\\', metadata))
  await store.close()
  const again = await opened(directory)
  expect(await again.records.get(phone)).toEqual({ value: 'naïve \u{1f600} "text"\\', metadata, commitId: 0 })
  expect(await again.records.get(city)).toBeUndefined()
})

test('a change sees what it staged itself, others see it only when the batch is written', async () => {
  const store = await opened(await temporary())
  let inside: unknown
  const writing = store.write(async (tx) => {
    await put(tx, phone, 'one')
    inside = (await tx.record(phone))?.value
  })
  const outside = store.records.get(phone)
  await writing
  expect(inside).toBe('one')
  expect(await outside).toBeUndefined()
  expect((await store.records.get(phone))?.value).toBe('one')
})

test('a change that throws leaves nothing behind, no commit id either', async () => {
  const store = await opened(await temporary())
  const failing = store.write(async (tx) => {
    await put(tx, phone, 'lost')
    await tx.enqueue(notification('n1'))
    throw new Error('changed my mind')
  })
  await expect(failing).rejects.toThrow('changed my mind')
  expect(await store.records.get(phone)).toBeUndefined()
  expect(await store.outbox.recipients()).toEqual([])
  expect(await store.write((tx) => put(tx, phone, 'kept'))).toBe(0)
})

test('a transaction that outlives its change is refused', async () => {
  const store = await opened(await temporary())
  const escaped = await store.write(async (tx) => () => put(tx, phone, 'late'))
  await expect(escaped()).rejects.toMatchObject({ code: 'AT0010' })
})

test('keys are listed ascending by code point, within a prefix, with their metadata', async () => {
  const store = await opened(await temporary())
  const keys = ['b@alice', 'a@alice', '@bob:a@alice', '\u{1f600}@alice', '©@alice', 'public:a@alice', 'public:b@alice']
  await store.write(async (tx) => {
    for (const key of keys) await put(tx, key, key, { version: 1 })
  })
  const listed = await all(store.records.entries())
  expect(listed.map(([key]) => key)).toEqual([
    ...['@bob:a@alice', 'a@alice', 'b@alice', 'public:a@alice', 'public:b@alice', '©@alice', '\u{1f600}@alice'],
  ])
  expect(await all(store.records.entries('public:'))).toEqual([
    ['public:a@alice', { version: 1 }],
    ['public:b@alice', { version: 1 }],
  ])
})

test('a listing shows one moment, whatever is written meanwhile', async () => {
  const store = await opened(await temporary())
  await store.write(async (tx) => {
    await put(tx, 'a@alice', '1')
    await put(tx, 'c@alice', '1')
  })
  const seen: string[] = []
  for await (const [key] of store.records.entries()) {
    if (seen.length === 0) {
      await store.write(async (tx) => {
        await put(tx, 'b@alice', '2')
        await remove(tx, 'c@alice')
      })
    }
    seen.push(key)
  }
  expect(seen).toEqual(['a@alice', 'c@alice'])
})

test('commit ids start at 0, are dense, and a key has only its latest entry', async () => {
  const store = await opened(await temporary())
  expect(store.commits.lastId()).toBe(-1)
  const ids = [
    await store.write((tx) => put(tx, phone, '1')),
    await store.write((tx) => put(tx, city, '1')),
    await store.write((tx) => put(tx, phone, null, {}, { operation: '#', opTime: start + 5 })),
  ]
  expect(ids).toEqual([0, 1, 2])
  expect(store.commits.lastId()).toBe(2)
  const entries = [
    { commitId: 1, key: city, operation: '*', opTime: start },
    { commitId: 2, key: phone, operation: '#', opTime: start + 5 },
  ]
  expect(await all(store.commits.entries())).toEqual(entries)
  expect(await all(store.commits.entries(1))).toEqual(entries.slice(1))
  expect(await all(store.commits.entries(2))).toEqual([])
  expect((await store.records.get(phone))?.commitId).toBe(2)
})

test('a removal is logged, also of a key that never was, and its tombstone gives way to the next change', async () => {
  const store = await opened(await temporary())
  await store.write((tx) => put(tx, phone, '1'))
  expect(await store.write((tx) => remove(tx, phone))).toBe(1)
  expect(await store.write((tx) => remove(tx, city))).toBe(2)
  expect(await store.write((tx) => remove(tx, city))).toBe(3)
  expect((await all(store.commits.entries())).map((entry) => [entry.commitId, entry.operation])).toEqual([
    [1, '-'],
    [3, '-'],
  ])
  expect(await store.write((tx) => put(tx, phone, '2'))).toBe(4)
  expect((await all(store.commits.entries())).map((entry) => entry.commitId)).toEqual([3, 4])
})

test('an unlogged change answers -1 and takes the entry of its key out of the log', async () => {
  const store = await opened(await temporary())
  await store.write((tx) => put(tx, phone, '1'))
  expect(await store.write((tx) => put(tx, phone, '2', {}, { commit: false }))).toBe(-1)
  expect(await all(store.commits.entries())).toEqual([])
  expect(await store.records.get(phone)).toEqual({ value: '2', metadata: {}, commitId: -1 })
  expect(await store.write((tx) => remove(tx, city))).toBe(1)
  expect(await store.write((tx) => remove(tx, city, { commit: false }))).toBe(-1)
  expect(await all(store.commits.entries())).toEqual([])
  expect(await store.write((tx) => put(tx, phone, '3'))).toBe(2)
})

test('commit ids are never issued twice, though the newest entry was purged before a restart', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  await store.write((tx) => put(tx, phone, '1'))
  await store.write((tx) => put(tx, phone, '2', {}, { commit: false }))
  await store.close()
  const again = await opened(directory)
  expect(again.commits.lastId()).toBe(0)
  expect(await again.write((tx) => put(tx, phone, '3'))).toBe(1)
})

test('secrets and enrollments are kept apart from the records', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  await store.write(async (tx) => {
    await tx.putSecret('cram', 'hush')
    await tx.putSecret('spent', 'x')
    await tx.putEnrollment(enrollment('e1'))
    expect(await tx.secret('cram')).toBe('hush')
  })
  await store.write((tx) => tx.removeSecret('spent'))
  await store.close()
  const again = await opened(directory)
  expect([await again.secret('cram'), await again.secret('spent')]).toEqual(['hush', undefined])
  expect(await again.enrollments.get('e1')).toEqual(enrollment('e1'))
  expect([await all(again.records.entries()), await all(again.commits.entries())]).toEqual([[], []])
})

test('records are served from flash as well as from a cache that is too small for them', async () => {
  const store = await opened(await temporary(), { cacheBytes: 8_000 })
  const values = Array.from({ length: 50 }, (_, n) => `${n}`.repeat(100))
  await store.write(async (tx) => {
    for (const [n, value] of values.entries()) await put(tx, `key${n}@alice`, value)
  })
  for (const [n, value] of values.entries()) expect((await store.records.get(`key${n}@alice`))?.value).toBe(value)
  await store.write((tx) => remove(tx, 'key7@alice'))
  expect(await store.records.get('key7@alice')).toBeUndefined()
})

test('no value is stored twice', async () => {
  const directory = await temporary()
  const store = await opened(directory)
  const value = 'needle'.repeat(20)
  await store.write(async (tx) => {
    await put(tx, phone, value)
    await tx.enqueue(notification('n1', { value: 'other' }))
  })
  await store.close()
  const rows: string[] = []
  for await (const [key, bytes] of (await bare(directory)).scan({ prefix: '' })) {
    if (Buffer.from(bytes).includes(value) || Buffer.from(bytes).includes('other')) rows.push(key)
  }
  expect(rows).toHaveLength(2)
})
