import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isCommitted, parseAtKey } from '../../src/core/at-key.ts'
import type { Metadata } from '../../src/core/metadata.ts'
import type { Store } from '../../src/core/storage.ts'
import { openDatabase } from '../../src/store/database.ts'
import { fromSortable, notificationRef, sortable } from '../../src/store/layout.ts'
import { openStore } from '../../src/store/store.ts'
import { manualClock } from '../support/clock.ts'
import { all, enrollment, notification, put, remove, start } from './fixtures.ts'
import * as model from './model.ts'

// Random changes against the model. They are issued without waiting for one another, so that they see one another staged,
// in flight and committed; a pause, a sweep or a restart waits for all of them and compares everything.

const outboxPerPeer = 2
const keys = ['a@alice', '@bob:b@alice', 'public:c@alice', 'private:d@alice', 'public:_e@alice']
const isLogged = (key: string) => isCommitted(parseAtKey(key))

const key = fc.constantFrom(...keys)
const id = fc.constantFrom('n1', 'n2', 'n3')
const life = fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined })
const which = { id, to: fc.constantFrom('@bob' as const, '@bo' as const), value: fc.constantFrom('21', '22') }
const strategy = fc.constantFrom('all' as const, 'latest' as const)
const told = { ...which, at: fc.nat(5), life: fc.nat(40), strategy }

const step = fc.oneof(
  fc.record({ do: fc.constant('put' as const), key, value: fc.string(), life, nc: fc.boolean() }),
  fc.record({ do: fc.constant('meta' as const), key, life }),
  fc.record({ do: fc.constant('remove' as const), key, nc: fc.boolean() }),
  fc.record({ do: fc.constant('notify' as const), ...told }),
  fc.record({ do: fc.constant('enqueue' as const), ...told }),
  fc.record({ do: fc.constant('settle' as const), ...which, sync: fc.boolean() }),
  fc.record({ do: fc.constant('enroll' as const), id: fc.constantFrom('e1', 'e2'), life }),
  fc.record({ do: fc.constantFrom('pause' as const, 'sweep' as const, 'restart' as const) }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface World {
  readonly directory: string
  readonly expected: model.Model
  store: Store
  /** Changes under way; each compares its own answer. */
  under: Promise<void>[]
  now: number
}

const open = (directory: string): Promise<Store> =>
  openStore({ directory, atSign: '@alice', clock: manualClock(start), outboxPerPeer, cacheBytes: 4_000 })

const lifeOf = (now: number, life: number | undefined): Metadata =>
  life === undefined ? {} : { expiresAt: now + life }

function changeRecord(world: World, step: Extract<Step, { do: 'put' | 'meta' | 'remove' }>): void {
  const { store, expected } = world
  const commit = isLogged(step.key) && !('nc' in step && step.nc)
  if (step.do === 'remove') {
    const answer = model.logInModel(expected, step.key, '-', commit)
    expected.records.delete(step.key)
    const done = store.write((tx) => remove(tx, step.key, { commit }))
    world.under.push(done.then((commitId) => expect(commitId).toBe(answer)))
    return
  }
  const old = expected.records.get(step.key)
  const value = step.do === 'put' ? step.value : (old?.value ?? null)
  const record = { value, metadata: { version: expected.lastId, ...lifeOf(world.now, step.life) } }
  const operation = step.do === 'put' ? '*' : '#'
  const answer = model.logInModel(expected, step.key, operation, commit)
  expected.records.set(step.key, record)
  const done = store.write(async (tx) => {
    expect((await tx.record(step.key))?.value).toBe(old?.value)
    return put(tx, step.key, value, record.metadata, { operation, commit })
  })
  world.under.push(done.then((commitId) => expect(commitId).toBe(answer)))
}

function changeNotification(world: World, step: Extract<Step, { do: 'notify' | 'enqueue' | 'settle' }>): void {
  const { store, expected } = world
  if (step.do === 'settle') {
    const known = notification(step.id, { to: step.to, value: step.value })
    model.settleInModel(expected, notificationRef(known), 'delivered')
    world.under.push(store.write((tx) => tx.settle(known, 'delivered'), { sync: step.sync }))
    return
  }
  const { id, to, value, strategy } = step
  const times = { at: start + step.at, expiresAt: world.now + step.life }
  const made = notification(id, { to, value, strategy, ...times })
  if (step.do === 'notify') {
    model.putInModel(expected, made)
    world.under.push(store.write((tx) => tx.putNotification(made)))
    return
  }
  const taken = model.enqueueInModel(expected, made, outboxPerPeer)
  const done = store.write((tx) => tx.enqueue(made)).then(() => true)
  world.under.push(
    done.catch((error) => error.code !== 'AT0006' && error).then((outcome) => expect(outcome).toBe(taken)),
  )
}

function enroll(world: World, step: Extract<Step, { do: 'enroll' }>): void {
  const expiresAt = lifeOf(world.now, step.life).expiresAt
  world.expected.enrollments.set(step.id, expiresAt)
  const made = enrollment(step.id, expiresAt === undefined ? {} : { expiresAt })
  world.under.push(world.store.write((tx) => tx.putEnrollment(made)))
}

async function take(world: World, step: Step): Promise<void> {
  if (step.do === 'put' || step.do === 'meta' || step.do === 'remove') return changeRecord(world, step)
  if (step.do === 'notify' || step.do === 'enqueue' || step.do === 'settle') return changeNotification(world, step)
  if (step.do === 'enroll') return enroll(world, step)
  await Promise.all(world.under.splice(0))
  if (step.do === 'sweep') {
    world.now += 15
    expect(await world.store.sweep(world.now)).toBe(model.sweepModel(world.expected, world.now, isLogged))
  }
  if (step.do === 'restart') {
    await world.store.close()
    world.store = await open(world.directory)
  }
  await compare(world)
}

/** Everything that can be read, against the model. */
async function compare({ store, expected }: World): Promise<void> {
  const { records, log, notifications, outbox } = expected
  for (const key of keys) {
    const record = records.get(key)
    const commitId = log.get(key)?.commitId ?? -1
    expect(await store.records.get(key)).toEqual(record === undefined ? undefined : { ...record, commitId })
  }
  expect((await all(store.records.entries())).map(([key]) => key)).toEqual([...records.keys()].sort())
  const entries = [...log].map(([key, { commitId, operation }]) => ({ commitId, key, operation }))
  expect((await all(store.commits.entries())).map(({ opTime: _, ...entry }) => entry)).toEqual(
    // The order of issue, though a sweep issues its ids at another time.
    entries.sort((one, other) => one.commitId - other.commitId),
  )
  expect(store.commits.lastId()).toBe(expected.lastId)
  const refs = new Map([...notifications].map(([ref, one]) => [one, ref]))
  const listed = [...notifications.values()].sort(
    (one, other) => one.at - other.at || ((refs.get(one) ?? '') < (refs.get(other) ?? '') ? -1 : 1),
  )
  expect(await all(store.notifications.since(start - 1))).toEqual(listed)
  expect(await all(store.notifications.since(start + 2))).toEqual(listed.filter(({ at }) => at > start + 2))
  expect((await store.outbox.recipients()).sort()).toEqual([...outbox.keys()].sort())
  for (const recipient of ['@bob', '@bo'] as const) {
    const waiting = (await store.outbox.pending(recipient, 10)).map((one) => notificationRef(one.notification))
    expect(waiting).toEqual(outbox.get(recipient) ?? [])
  }
  const next = model.expiryOf(expected)[0]
  expect(await store.nextExpiry()).toBe(next === undefined ? undefined : fromSortable(next))
}

/** The tables themselves: every index agrees with what it points at, and nothing is left over. */
async function compareTables({ directory, expected }: World): Promise<void> {
  const database = await openDatabase(join(directory, 'level'), { create: false })
  const found: Record<string, string[]> = {}
  for await (const full of database.keys({ prefix: '' })) {
    const [, table = '', ...rest] = full.split('!')
    found[table] = [...(found[table] ?? []), rest.join('!')]
  }
  await database.close()
  const bare = [...expected.log].filter(([key]) => !expected.records.has(key))
  expect(found['tombstones'] ?? []).toEqual(bare.map(([key]) => key).sort())
  expect(found['commits'] ?? []).toEqual([...expected.log.values()].map(({ commitId }) => sortable(commitId)).sort())
  expect(found['expiry'] ?? []).toEqual(model.expiryOf(expected))
  expect(found['notification-states'] ?? []).toEqual([...expected.notifications.keys()].sort())
  expect(found['notifications'] ?? []).toHaveLength(expected.notifications.size)
  expect(found['outbox'] ?? []).toHaveLength([...expected.outbox.values()].flat().length)
}

async function run(steps: readonly Step[]): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'atedge-model-'))
  const world: World = { directory, expected: model.emptyModel(), store: await open(directory), under: [], now: start }
  try {
    for (const step of steps) await take(world, step)
    await take(world, { do: 'restart' })
    await world.store.close()
    await compareTables(world)
  } finally {
    await Promise.allSettled(world.under)
    await world.store.close()
    await rm(directory, { recursive: true })
  }
}

test('any sequence of changes leaves what the model says, in every table', { timeout: 120_000 }, async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), run), { numRuns: 150 })
})
