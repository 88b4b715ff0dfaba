import { expect } from 'vitest'
import type { Store } from '../../src/core/storage.ts'
import { crowd, keysOf, textOf, writers } from './workload.ts'

/** Of each writer the number of its latest change in a store, -1 for none; the parts of a change must agree. */
export async function latest(store: Store): Promise<number[]> {
  const entries = new Map<string, { operation: string; opTime: number; commitId: number }>()
  for await (const entry of store.commits.entries()) {
    expect(entries.has(entry.key), `two commit entries of ${entry.key}`).toBe(false)
    entries.set(entry.key, entry)
  }
  const numbers: number[] = []
  for (let writer = 0; writer < writers; writer += 1) {
    const seen = new Set<number>()
    for (const key of keysOf(writer)) {
      const entry = entries.get(key)
      const record = await store.records.get(key)
      seen.add(entry?.opTime ?? -1)
      if (record === undefined) {
        expect(entry === undefined || entry.operation === '-', `${key} is missing`).toBe(true)
        continue
      }
      expect(record.value).toBe(textOf(writer, record.metadata.version ?? -1))
      expect([record.commitId, record.metadata.version]).toEqual([entry?.commitId, entry?.opTime])
    }
    expect([...seen], `halves of writer ${writer}`).toHaveLength(1)
    numbers.push([...seen][0] ?? -1)
  }
  return numbers
}

/** What is known to be acknowledged, by writer. */
export interface Acknowledged {
  readonly change: number[]
  readonly delivery: number[]
}

export const nothing = (): Acknowledged => ({
  change: Array.from({ length: writers }, () => -1),
  delivery: Array.from({ length: writers }, () => -1),
})

/**
 * Whether a store holds everything that was acknowledged, nothing by half, and agrees with itself.
 * @param least what it must hold of it: all, unless the loss window of changes in `interval` mode is accepted
 * @param losesDeliveries what reached no flash may be gone: marks of delivery do, which costs a second delivery that its
 * recipient knows by its id
 */
export async function verify(
  store: Store,
  acknowledged: Acknowledged,
  losesDeliveries: boolean,
  least = acknowledged,
): Promise<number[]> {
  const numbers = await latest(store)
  for (const [writer, number] of numbers.entries()) {
    expect(number, `writer ${writer}`).toBeGreaterThanOrEqual(least.change[writer] ?? -1)
    expect(number, `writer ${writer}`).toBeLessThanOrEqual((acknowledged.change[writer] ?? -1) + 1)
  }
  // Every change took two ids, and nothing else took any.
  const ids = numbers.reduce((sum, number) => sum + 2 * (number + 1), 0)
  expect(store.commits.lastId()).toBe(ids - 1)
  await verifyOutbox(store, numbers, acknowledged.delivery, losesDeliveries)
  await verifyHolding(store)
  while (store.health().scrub.rounds === 0) await store.scrub(1_000_000)
  const { report, ...health } = store.health()
  expect(health, JSON.stringify(report)).toMatchObject({ state: 'sound', healed: 0, quarantined: 0 })
  expect(report).toBeUndefined()
  return numbers
}

/** What is held of an atSign is as much as is said of it. */
async function verifyHolding(store: Store): Promise<void> {
  let count = 0
  for await (const { from } of store.notifications.since(-1)) if (from === crowd) count += 1
  expect((await store.write((tx) => tx.holding('notifications', crowd))).count, `held of ${crowd}`).toBe(count)
}

async function verifyOutbox(
  store: Store,
  numbers: readonly number[],
  delivered: readonly number[],
  losesDeliveries: boolean,
): Promise<void> {
  const waiting = new Map<number, number[]>(numbers.map((_, writer) => [writer, []]))
  for (const { notification } of await store.outbox.pending('@bob', 100_000)) {
    const { id, value } = notification
    const [writer = -1, number = -1] = id.split('-').map(Number)
    expect(value).toBe(textOf(writer, number))
    waiting.get(writer)?.push(number)
  }
  for (const [writer, latestNumber] of numbers.entries()) {
    const expected = (delivered[writer] ?? -1) + 1
    // A mark of delivery at the end of one log may be lost though a later one, in the next log, is not.
    const again = waiting.get(writer)?.filter((number) => number < expected) ?? []
    if (!losesDeliveries) expect(again, `delivered twice by writer ${writer}`).toEqual([])
    const found = waiting.get(writer)?.filter((number) => number >= expected) ?? []
    const first = found[0] ?? latestNumber + 1
    // Without a hole up to the latest, in the order in which they were queued; one mark may have been under way.
    expect(first).toBeLessThanOrEqual(expected + 1)
    expect(found, `outbox of writer ${writer}`).toEqual(
      Array.from({ length: latestNumber - first + 1 }, (_, index) => first + index),
    )
  }
}
