import { describe, expect, test } from 'vitest'
import { createKnownNames, type KnownNames } from '../../src/store/known-names.ts'
import { notification, opened, temporary } from './fixtures.ts'

const named = (count: number, kind = 'row'): string[] =>
  Array.from({ length: count }, (_, index) => `${kind}-${index}/r`)

/** Rows by name, as a database has them: reading gives those of the moment it began. */
function rows(names: readonly string[]) {
  const all = new Set(names)
  let readings = 0
  return {
    all,
    readings: () => readings,
    count: () => all.size,
    names(): AsyncIterable<string> {
      readings += 1
      const now = [...all]
      return (async function* () {
        for (const name of now) yield name
      })()
    },
  }
}

async function missOften(known: KnownNames): Promise<void> {
  for (let miss = 0; miss < 100; miss += 1) known.missed()
  await new Promise((resolve) => setImmediate(resolve))
}

describe('names of rows', () => {
  test('nothing is said about any before the database was asked in vain for many', async () => {
    const table = rows(named(10))
    const known = createKnownNames(table)
    known.missed()
    expect(known.isAbsent('other')).toBe(false)
    expect(table.readings()).toBe(0)
    await missOften(known)
    expect(known.isAbsent('other')).toBe(true)
    expect(table.readings()).toBe(1)
  })

  test('a row that is there, or comes later, is never absent, and of others one in fifty passes for one at most', async () => {
    const table = rows(named(20_000))
    const known = createKnownNames(table)
    await missOften(known)
    const later = named(10_000, 'later')
    for (const name of later) known.add(name)
    expect([...table.all, ...later].filter(known.isAbsent)).toEqual([])
    expect(named(10_000, 'never').filter((name) => !known.isAbsent(name)).length).toBeLessThan(200)
  })

  test('a row that comes while the others are read is not absent', async () => {
    const table = rows(named(100))
    const known = createKnownNames(table)
    for (let miss = 0; miss < 100; miss += 1) known.missed()
    known.add('meanwhile')
    await new Promise((resolve) => setImmediate(resolve))
    expect(known.isAbsent('other')).toBe(true)
    expect(known.isAbsent('meanwhile')).toBe(false)
  })

  test('those that are gone are forgotten when the names are read again', async () => {
    const table = rows([])
    const known = createKnownNames(table)
    await missOften(known)
    for (const name of named(100_000, 'gone')) known.add(name)
    await new Promise((resolve) => setImmediate(resolve))
    expect(table.readings()).toBeGreaterThan(1)
    expect(named(100_000, 'gone').some(known.isAbsent)).toBe(true)
  })

  test('nothing is said about any when they cannot be read, until the database was opened again', async () => {
    const broken = async function* (): AsyncGenerator<string> {
      yield 'first'
      throw new Error('damaged')
    }
    let names = broken
    const known = createKnownNames({ names: () => names(), count: () => 1 })
    await missOften(known)
    expect(known.isAbsent('other')).toBe(false)
    names = async function* () {
      yield 'first'
    }
    await missOften(known)
    expect(known.isAbsent('other')).toBe(false)
    known.forget()
    await missOften(known)
    expect(known.isAbsent('other')).toBe(true)
    expect(known.isAbsent('first')).toBe(false)
  })
})

test('a notification that came before is known after a restart, however many new ones come in between', async () => {
  const directory = await temporary()
  const received = (id: string) =>
    notification(id, { from: '@bob', to: '@alice', type: 'received', status: 'delivered' })
  const store = await opened(directory)
  await store.write((tx) => tx.putNotification(received('before')))
  await store.close()
  const again = await opened(directory)
  for (let index = 0; index < 100; index += 1) {
    const one = received(`new-${index}`)
    expect(await again.notifications.has(one)).toBe(false)
    await again.write((tx) => tx.putNotification(one))
    expect(await again.notifications.has(one)).toBe(true)
    expect(await again.notifications.has(received('before'))).toBe(true)
  }
  await again.write((tx) => tx.removeNotification(received('before')))
  expect(await again.notifications.has(received('before'))).toBe(false)
  await again.write((tx) => tx.putNotification(received('before')))
  expect(await again.notifications.has(received('before'))).toBe(true)
})
