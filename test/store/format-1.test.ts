import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Notification } from '../../src/core/notification.ts'
import { openDatabase } from '../../src/store/database.ts'
import { sortable } from '../../src/store/layout.ts'
import { nameNotifications } from '../../src/store/migrate-notifications.ts'
import { seal } from '../../src/store/seal.ts'
import { all, bare, notification, opened, start, temporary } from './fixtures.ts'

// Rows as version 0.1.0 wrote them before notifications had names of their own, spelt out by hand.

const row = (key: string, json: unknown) => ({ key, value: seal(key, JSON.stringify(json)) })

const received = notification('n3', {
  ...{ from: '@bob', to: '@alice', key: '@alice:x.wavi@bob', type: 'received', status: 'delivered' },
  ...{ at: start + 3, expiresAt: start + 70 },
})
const made: readonly Notification[] = [
  notification('n1', { at: start + 1, expiresAt: start + 90 }),
  notification('n2', { at: start + 2, expiresAt: start + 80, strategy: 'latest', latestN: 1 }),
  received,
]

function rowsOf(one: Notification, place: number | undefined) {
  const { id, at, expiresAt, status, type } = one
  const outbox = place === undefined ? {} : { outbox: `@bob/${sortable(place)}` }
  return [
    row(`!notifications!${sortable(at)}/${id}`, one),
    row(`!notification-states!${id}`, { at, expiresAt, status, type, ...outbox }),
    row(`!expiry!${sortable(expiresAt)}/n/${id}`, 0),
    ...(outbox.outbox === undefined ? [] : [row(`!outbox!${outbox.outbox}`, id)]),
  ]
}

async function writeFormat1(directory: string): Promise<void> {
  const identity = { format: 1, atSign: '@alice' }
  await mkdir(directory, { mode: 0o700 })
  await writeFile(join(directory, 'store.json'), JSON.stringify(identity))
  const database = await openDatabase(join(directory, 'level'), { create: true })
  await database.batch(
    [
      row('!identity!store', identity),
      row('!records!cached:@alice:copy.wavi@bob', [0, {}, 'v']),
      row('!commits!00000000000', ['*', start, 'cached:@alice:copy.wavi@bob']),
      row('!meta!commit', 0),
      ...made.flatMap((one, index) => rowsOf(one, one.type === 'sent' ? index + 1 : undefined)),
      // Its body is lost, as after damage.
      ...rowsOf(notification('n4', { at: start + 4 }), 4).slice(1),
    ],
    true,
  )
  await database.close()
}

test('a store of format 1 opens with all its notifications, and what waits keeps its place', async () => {
  const directory = await temporary()
  await writeFormat1(directory)
  const store = await opened(directory)
  expect(await all(store.notifications.since(-1))).toEqual(made)
  expect((await store.outbox.pending('@bob', 9)).map(({ notification: { id } }) => id)).toEqual(['n1', 'n2'])
  expect(await store.notifications.get('n3')).toEqual(received)
  expect(await store.write((tx) => tx.hasNotification(received))).toBe(true)
  const held = (kind: 'notifications' | 'copies') => store.write((tx) => tx.holding(kind, '@bob'))
  expect([(await held('notifications')).count, (await held('copies')).count]).toEqual([1, 1])
  await store.write((tx) => tx.enqueue(notification('n5', { strategy: 'latest', latestN: 1 })))
  expect((await store.notifications.get('n2'))?.status).toBe('expired')
  expect(await store.nextExpiry()).toBe(start + 70)
  expect(await store.sweep(start + 81)).toBe(2)
  expect(store.health().report).toBeUndefined()
})

test('the way from format 1 may be cut off anywhere and be gone again', async () => {
  const directory = await temporary()
  await writeFormat1(directory)
  const contents = async (): Promise<string[]> => {
    const database = await bare(directory)
    const rows = await all(database.scan({ prefix: '' }))
    await database.close()
    return rows.filter(([key]) => key !== '!identity!store').map(([key, value]) => `${key} ${Buffer.from(value)}`)
  }
  const run = async (batches: number): Promise<void> => {
    const database = await bare(directory)
    let left = batches
    const cut = {
      ...database,
      batch: async (...given: Parameters<typeof database.batch>) => {
        left -= 1
        if (left < 0) throw new Error('power cut')
        await database.batch(...given)
      },
    }
    await nameNotifications(cut).catch((error: Error) => expect(error.message).toBe('power cut'))
    await database.close()
  }
  for (const batches of [0, 1, 2]) await run(batches)
  const whole = await contents()
  await run(2)
  expect(await contents()).toEqual(whole)
})
