import { describe, expect, test } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { limits } from '../../src/core/limits.ts'
import type { Notification } from '../../src/core/notification.ts'
import type { Waiting } from '../../src/core/storage.ts'
import { createEphemeral, type EphemeralOptions, withEphemeral } from '../../src/services/ephemeral.ts'
import { all, opened, start, notification as stored, temporary } from '../store/fixtures.ts'
import { manualClock } from '../support/clock.ts'

const lively = (id: string, parts: Partial<Notification> = {}): Notification =>
  stored(id, { ephemeral: true, expiresAt: start + limits.ephemeralMs, ...parts })

function world(options: Partial<EphemeralOptions> = {}) {
  const clock = manualClock(start)
  return { clock, ephemeral: createEphemeral({ self: '@alice', clock, ...options }) }
}
const ids = (list: readonly Notification[]): string[] => list.map(({ id }) => id)
const waiting = (list: readonly Waiting[]): string[] => list.map(({ notification }) => notification.id)

test('one is there by its id until it expires', () => {
  const { clock, ephemeral } = world()
  ephemeral.put(lively('a', { expiresAt: start + 1_000 }))
  expect(ephemeral.get('a')?.id).toBe('a')
  clock.advance(1_000)
  expect(ephemeral.get('a')).toBeUndefined()
  expect(ephemeral.since(0)).toEqual([])
  expect(ephemeral.pending('@bob', 10)).toEqual([])
})

describe('under one id', () => {
  const from = (sender: AtSign, parts: Partial<Notification> = {}): Notification =>
    lively('same', { from: sender, to: '@alice', type: 'received', ...parts })

  test('another sender, recipient or content is another notification', () => {
    const { ephemeral } = world()
    const made = [
      ...[from('@bob'), from('@carol'), from('@bob', { value: 'more' }), lively('same')],
      ...[lively('same', { value: 'more' }), lively('same', { to: '@carol' })],
    ]
    for (const one of made) ephemeral.put(one)
    expect(ephemeral.since(0)).toEqual(made)
    expect(made.map((one) => ephemeral.has(one))).not.toContain(false)
    expect(ephemeral.has(from('@dave'))).toBe(false)
    ephemeral.remove(from('@bob'))
    expect(ephemeral.since(0)).toHaveLength(5)
  })

  test('the owner means the latest that was sent, else the latest that arrived', () => {
    const { ephemeral } = world()
    ephemeral.put(from('@bob', { at: start + 2, value: 'later' }))
    ephemeral.put(from('@carol', { at: start + 1 }))
    expect(ephemeral.get('same')?.value).toBe('later')
    ephemeral.put(lively('same', { value: 'own' }))
    expect(ephemeral.get('same')?.value).toBe('own')
  })

  test('the same one counts once while it waits', () => {
    const { clock, ephemeral } = world()
    ephemeral.put(lively('a'))
    ephemeral.put(lively('b'))
    clock.advance(5)
    ephemeral.put(lively('a', { at: clock.now() }))
    expect(waiting(ephemeral.pending('@bob', 9))).toEqual(['a', 'b'])
  })
})

test('those that wait for a recipient come in the order in which they were sent, until they are settled', () => {
  const { ephemeral } = world()
  for (const id of ['a', 'b', 'c']) ephemeral.put(lively(id))
  ephemeral.put(lively('other', { to: '@carol' }))
  const [first, second] = ephemeral.pending('@bob', 2)
  expect([first?.notification.id, second?.notification.id]).toEqual(['a', 'b'])
  expect(waiting(ephemeral.pending('@bob', 9, first?.place))).toEqual(['b', 'c'])
  ephemeral.settle(lively('a'), 'delivered')
  expect(waiting(ephemeral.pending('@bob', 9))).toEqual(['b', 'c'])
  expect([first, second].map((one) => ephemeral.waits('@bob', one?.place ?? 0))).toEqual([false, true])
  expect(ephemeral.get('a')?.status).toBe('delivered')
})

test('of the strategy latest the newest few of a notifier wait, the others have expired', () => {
  const { ephemeral } = world()
  const latest = { strategy: 'latest', latestN: 2 } as const
  for (const id of ['a', 'b', 'c']) ephemeral.put(lively(id, latest))
  ephemeral.put(lively('other', { ...latest, notifier: 'other' }))
  ephemeral.put(lively('all'))
  expect(waiting(ephemeral.pending('@bob', 9))).toEqual(['b', 'c', 'other', 'all'])
  expect(ephemeral.get('a')?.status).toBe('expired')
})

describe('room', () => {
  test('is limited in number, and the oldest of whoever holds most gives way', () => {
    const { ephemeral } = world({ maxCount: 4 })
    ephemeral.put(lively('quiet', { to: '@carol' }))
    for (const id of ['a', 'b', 'c', 'd', 'e']) ephemeral.put(lively(id))
    expect(ids(ephemeral.since(0))).toEqual(['quiet', 'c', 'd', 'e'])
  })

  test('is limited in characters', () => {
    const { ephemeral } = world({ maxChars: 10_000 })
    for (let index = 0; index < 50; index++) ephemeral.put(lively(`n${index}`, { value: 'x'.repeat(800) }))
    const held = ephemeral.since(0)
    expect(held.length).toBeGreaterThan(5)
    expect(held.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)).toBeLessThan(10_000)
    expect(held.at(-1)?.id).toBe('n49')
  })

  test('is not given to one that would take most of it', () => {
    const { ephemeral } = world()
    expect(() => ephemeral.checkSize(lively('huge', { value: 'x'.repeat(limits.ephemeralChars) }))).toThrow(
      /at most 524288 characters/,
    )
    expect(ephemeral.since(0)).toEqual([])
  })

  test('is free again once they have expired', () => {
    const { clock, ephemeral } = world({ maxCount: 2 })
    ephemeral.put(lively('a'))
    ephemeral.put(lively('b'))
    clock.advance(2 * limits.ephemeralMs)
    ephemeral.put(lively('c', { at: clock.now(), expiresAt: clock.now() + 1_000 }))
    expect(ids(ephemeral.since(0))).toEqual(['c'])
  })
})

test('history is one list by time, stored ones and those in memory', async () => {
  const { ephemeral } = world()
  const store = await opened(await temporary())
  await store.write(async (tx) => {
    for (const at of [1, 3, 5]) await tx.putNotification(stored(`stored${at}`, { at: start + at }))
  })
  for (const at of [0, 2, 3, 6]) ephemeral.put(lively(`memory${at}`, { at: start + at }))
  const merged = withEphemeral(store.notifications, ephemeral)
  expect(ids(await all(merged.since(start)))).toEqual([
    'stored1',
    'memory2',
    'stored3',
    'memory3',
    'stored5',
    'memory6',
  ])
  expect((await merged.get('stored1'))?.id).toBe('stored1')
  expect((await merged.get('memory2'))?.id).toBe('memory2')
  expect(await merged.count()).toEqual({ total: 7, sent: 7, received: 0 })
})
