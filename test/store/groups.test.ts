import { readdir, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import type { Transaction } from '../../src/core/storage.ts'
import type { StoreSeams } from '../../src/store/store.ts'
import { manualClock } from '../support/clock.ts'
import { all, bare, logged, notification, opened, put, remove, start, temporary } from './fixtures.ts'

type Around = NonNullable<StoreSeams['aroundBatch']>

/** Batches that wait for the test: each `next()` lets one through, or makes it fail. */
function heldBatches() {
  const waiting: ((error?: Error) => void)[] = []
  const arrivals: (() => void)[] = []
  const batches: { operations: number; sync: boolean }[] = []
  const aroundBatch: Around = async (write, operations, sync) => {
    batches.push({ operations: operations.length, sync })
    await new Promise<void>((resolve, reject) => {
      waiting.push((error) => (error === undefined ? resolve() : reject(error)))
      arrivals.shift()?.()
    })
    await write()
  }
  return {
    aroundBatch,
    batches,
    /** Resolves when a batch is on its way. */
    async arrived(): Promise<void> {
      if (waiting.length === 0) await new Promise<void>((resolve) => arrivals.push(resolve))
    },
    next(error?: Error): void {
      waiting.shift()?.(error)
    },
  }
}

const settled = (writes: Promise<unknown>[]) => Promise.allSettled(writes).then((ends) => ends.map((end) => end.status))

test('everything that is staged while one batch is in flight shares the next one', async () => {
  const held = heldBatches()
  const store = await opened(await temporary(), {}, held)
  const first = store.write((tx) => put(tx, 'first@alice', '1'))
  await held.arrived()
  const rest = Array.from({ length: 500 }, (_, n) => store.write((tx) => put(tx, `key${n}@alice`, '1')))
  held.next()
  await first
  await held.arrived()
  held.next()
  expect(await Promise.all(rest)).toEqual(Array.from({ length: 500 }, (_, n) => n + 1))
  expect(held.batches.map(({ sync }) => sync)).toEqual([true, true])
})

test('the next batch is on its way before those of the last one are told', async () => {
  const held = heldBatches()
  const store = await opened(await temporary(), {}, held)
  const first = store.write((tx) => put(tx, 'first@alice', '1')).then(() => held.batches.length)
  await held.arrived()
  const second = store.write((tx) => put(tx, 'second@alice', '1'))
  held.next()
  expect(await first).toBe(2)
  held.next()
  expect(await second).toBe(1)
})

/** The moment for which marks wait for company: over when the test says so. */
function heldMoment() {
  let waiting: (() => void) | undefined
  const later = (task: () => void) => {
    waiting = task
    return () => {
      waiting = undefined
    }
  }
  return { later, waits: () => waiting !== undefined, isOver: () => waiting?.() }
}

test('a change that need not be on flash waits a moment and shares the batch of one that must', async () => {
  const held = heldBatches()
  const moment = heldMoment()
  const store = await opened(await temporary(), {}, { ...held, ...moment })
  const mark = store.write((tx) => tx.putVisits('sessions', 1), { sync: false })
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  expect(held.batches).toEqual([])
  const reading = store.write((tx) => put(tx, 'k@alice', '1'))
  await held.arrived()
  expect(moment.waits()).toBe(false)
  held.next()
  await Promise.all([mark, reading])
  expect(held.batches.map(({ sync }) => sync)).toEqual([true])
})

test('a change that need not be on flash is written by itself when the moment is over', async () => {
  const held = heldBatches()
  const moment = heldMoment()
  const store = await opened(await temporary(), {}, { ...held, ...moment })
  const mark = store.write((tx) => tx.putVisits('sessions', 1), { sync: false })
  moment.isOver()
  await held.arrived()
  held.next()
  await mark
  expect(held.batches.map(({ sync }) => sync)).toEqual([false])
})

test('changes keep their order, whether they wait for something or not', async () => {
  const store = await opened(await temporary())
  const seen: string[] = []
  const read = (tx: Transaction) => seen.push(tx.record('k@alice')?.value ?? 'nothing')
  const slow = store.write(async (tx) => {
    await new Promise(setImmediate)
    read(tx)
    await put(tx, 'k@alice', 'slow')
  })
  const quick = store.write((tx) => {
    read(tx)
    void tx.putRecord(parseAtKey('k@alice'), { value: 'quick', metadata: {} }, logged)
  })
  const refused = store.write(() => {
    throw new Error('refused')
  })
  const last = store.write(read)
  expect(await settled([slow, quick, refused, last])).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
  expect(seen).toEqual(['nothing', 'slow', 'quick'])
})

test('a change that another one makes comes behind it', async () => {
  const store = await opened(await temporary())
  const seen: string[] = []
  let inner: Promise<void> | undefined
  await store.write((tx) => {
    inner = store.write(() => void seen.push('inner'))
    seen.push(tx.record('k@alice')?.value ?? 'outer')
  })
  await inner
  expect(seen).toEqual(['outer', 'inner'])
})

test('a change is over when it has returned', async () => {
  const store = await opened(await temporary())
  const kept: Transaction[] = []
  await store.write((tx) => void kept.push(tx))
  await store.write(async (tx) => void kept.push(tx))
  for (const tx of kept) expect(() => tx.putNotification(notification('late'))).toThrow('the change has ended')
})

test('a key that changes many times in one group is written once', async () => {
  const held = heldBatches()
  const store = await opened(await temporary(), {}, held)
  const writes = Array.from({ length: 100 }, (_, n) => store.write((tx) => put(tx, 'hot@alice', `${n}`)))
  await held.arrived()
  held.next()
  await Promise.all(writes)
  expect(held.batches).toHaveLength(1)
  // Record, mark, the newest commit entry, and deletions of 99 that never reached flash.
  expect((await all(store.commits.entries())).map(({ commitId }) => commitId)).toEqual([99])
  expect((await store.records.get('hot@alice'))?.value).toBe('99')
})

test('writers hear of their change in order, after its tasks, and never before it is written', async () => {
  const held = heldBatches()
  const store = await opened(await temporary(), {}, held)
  const events: string[] = []
  const write = (name: string) =>
    store
      .write(async (tx) => {
        tx.onCommit(() => events.push(`task ${name}`))
        await put(tx, `${name}@alice`, '1')
      })
      .then(() => events.push(`done ${name}`))
  const writes = ['a', 'b', 'c'].map(write)
  await held.arrived()
  expect(events).toEqual([])
  held.next()
  await Promise.all(writes)
  expect(events).toEqual(['task a', 'task b', 'task c', 'done a', 'done b', 'done c'])
})

test('a task that throws harms neither its change nor the tasks after it', async () => {
  const lines: string[] = []
  const store = await opened(await temporary(), { log: (level, message) => lines.push(`${level} ${message}`) })
  let ran = false
  await store.write(async (tx) => {
    tx.onCommit(() => {
      throw new Error('bug')
    })
    tx.onCommit(() => {
      ran = true
    })
  })
  expect([ran, lines]).toEqual([true, ['error a task after a commit failed']])
})

test('a delivery mark costs no synced batch of its own, and rides along with a synced one', async () => {
  const held = heldBatches()
  const store = await opened(await temporary(), {}, held)
  const mark = (id: string) => store.write((tx) => tx.putNotification(notification(id)), { sync: false })
  const alone = mark('n1')
  await held.arrived()
  const together = [mark('n2'), store.write((tx) => tx.putSecret('s', 'x'))]
  held.next()
  await alone
  await held.arrived()
  held.next()
  await Promise.all(together)
  expect(held.batches.map(({ sync }) => sync)).toEqual([false, true])
})

test('a commit id is never given out before it is on flash', async () => {
  const held = heldBatches()
  const store = await opened(await temporary(), {}, held)
  const writing = store.write((tx) => put(tx, 'a@alice', '1'), { sync: false })
  await held.arrived()
  expect(store.commits.lastId()).toBe(-1)
  held.next()
  expect(await writing).toBe(0)
  // Record, entry, mark, and the floor of the clock.
  expect(held.batches).toEqual([{ operations: 4, sync: true }])
})

test('a change that only reads waits for what it has read', async () => {
  const held = heldBatches()
  const store = await opened(await temporary(), {}, held)
  const order: string[] = []
  const writing = store.write((tx) => put(tx, 'a@alice', '1')).then(() => order.push('written'))
  const reading = store.write(async (tx) => (await tx.record('a@alice'))?.value)
  void reading.then(() => order.push('read'))
  await held.arrived()
  held.next()
  await writing
  expect(await reading).toBe('1')
  expect(order).toEqual(['written', 'read'])
  expect(held.batches).toHaveLength(1)
})

test('a failed batch takes everything staged on top of it along, and later writes work again', async () => {
  const held = heldBatches()
  const directory = await temporary()
  const store = await opened(directory, { outboxPerPeer: 1 }, held)
  const before = store.write((tx) => put(tx, 'kept@alice', '1'))
  await held.arrived()
  held.next()
  await before
  const lost = store.write(async (tx) => {
    await put(tx, 'lost@alice', '1')
    await remove(tx, 'kept@alice')
    await tx.enqueue(notification('n'))
  })
  await held.arrived()
  const onTop = store.write((tx) => put(tx, 'top@alice', '1'))
  let goOn = () => {}
  const midway = new Promise<void>((resolve) => {
    goOn = resolve
  })
  let begun = () => {}
  const reached = new Promise<void>((resolve) => {
    begun = resolve
  })
  const underWay = store.write(async (tx) => {
    expect((await tx.record('top@alice'))?.value).toBe('1')
    begun()
    await midway
    return put(tx, 'late@alice', '1')
  })
  await reached
  held.next(new Error('no space left on device'))
  await expect(lost).rejects.toMatchObject({ code: 'AT0002', message: expect.stringContaining('no space left') })
  goOn()
  expect(await settled([onTop, underWay])).toEqual(['rejected', 'rejected'])
  expect(store.commits.lastId()).toBe(0)
  expect((await all(store.records.entries())).map(([key]) => key)).toEqual(['kept@alice'])
  expect(await store.outbox.recipients()).toEqual([])
  const next = store.write(async (tx) => {
    await tx.enqueue(notification('m'))
    return put(tx, 'next@alice', '1')
  })
  await held.arrived()
  held.next()
  expect(await next).toBe(1)
  await store.close()
  const kept: string[] = []
  for await (const key of (await bare(directory)).keys({ prefix: '!records!' })) kept.push(key)
  expect(kept).toEqual(['!records!kept@alice', '!records!next@alice'])
})

/** A store whose next batch fails while the folder of its database is hidden. */
async function hidden() {
  const held = heldBatches()
  const clock = manualClock(start)
  const directory = await temporary()
  const store = await opened(directory, { clock }, held)
  const level = join(directory, 'level')
  const attempt = () => store.write((tx) => put(tx, 'a@alice', '1'))
  const failing = attempt()
  await held.arrived()
  await rename(level, `${level}.away`)
  await writeFile(level, '')
  held.next(new Error('input/output error'))
  await expect(failing).rejects.toThrow('input/output error')
  const uncover = async () => {
    await unlink(level)
    await rename(`${level}.away`, level)
  }
  return { held, clock, store, attempt, uncover }
}

test('while a store cannot recover it says so, and does not wear out the flash with attempts', async () => {
  const { held, clock, store, attempt, uncover } = await hidden()
  await expect(attempt()).rejects.toMatchObject({ code: 'AT0002', message: expect.stringContaining('not a directory') })
  expect(store.health()).toMatchObject({ state: 'down', readOnly: expect.stringContaining('not a directory') })
  clock.advance(1_000)
  // In order behind the attempt that nobody asked for.
  await expect(attempt()).rejects.toThrow('not a directory')
  await uncover()
  clock.advance(1_999)
  await expect(attempt()).rejects.toThrow('not a directory')
  clock.advance(1)
  const healed = attempt()
  await held.arrived()
  held.next()
  expect(await healed).toBe(0)
  expect((await store.records.get('a@alice'))?.value).toBe('1')
  expect(store.health().state).toBe('sound')
  expect(store.health().readOnly).toBeUndefined()
})

test('a store that takes no changes any more says so, and goes on reading', async () => {
  const held = heldBatches()
  const [directory, clock] = [await temporary(), manualClock(start)]
  const store = await opened(directory, { clock }, held)
  const attempt = (key: string) => store.write((tx) => put(tx, key, '1'))
  const first = attempt('a@alice')
  await held.arrived()
  held.next()
  await first
  const failing = attempt('b@alice')
  await held.arrived()
  const level = join(directory, 'level')
  await rename(level, `${level}.away`)
  held.next(new Error('input/output error'))
  await expect(failing).rejects.toThrow('input/output error')
  await expect(attempt('b@alice')).rejects.toThrow('ENOENT')
  expect(store.health()).toMatchObject({ state: 'read-only', readOnly: expect.stringContaining('ENOENT') })
  expect((await store.records.get('a@alice'))?.value).toBe('1')
  await rename(`${level}.away`, level)
  clock.advance(1_000)
  const healed = attempt('b@alice')
  await held.arrived()
  held.next()
  expect(await healed).toBe(1)
  expect(store.health().state).toBe('sound')
})

test('a store that has failed comes back when it can, whether or not anybody wants to change anything', async () => {
  const { clock, store, attempt, uncover } = await hidden()
  await expect(attempt()).rejects.toThrow('not a directory')
  await uncover()
  clock.advance(1_000)
  await expect.poll(() => store.health().state).toBe('sound')
  expect(await store.records.get('a@alice')).toBeUndefined()
})

test('a store whose files are lost while it runs is repaired, says so, and issues no commit id twice', async () => {
  const directory = await temporary()
  let fails = false
  const aroundBatch: Around = async (write) => {
    if (fails) throw new Error('input/output error')
    await write()
  }
  const before = await opened(directory)
  await before.write((tx) => put(tx, 'kept@alice', '1'))
  await before.close()
  const store = await opened(directory, {}, { aroundBatch })
  for (const key of ['a', 'b', 'c']) await store.write((tx) => put(tx, `${key}@alice`, '1'))
  fails = true
  await expect(store.write((tx) => put(tx, 'd@alice', '1'))).rejects.toThrow('input/output error')
  fails = false
  const level = join(directory, 'level')
  for (const name of await readdir(level)) if (/^CURRENT$|\.log$/.test(name)) await unlink(join(level, name))
  expect(await store.write((tx) => put(tx, 'd@alice', '1'))).toBeGreaterThan(4)
  expect((await store.records.get('kept@alice'))?.value).toBe('1')
  const { state, report } = store.health()
  expect(state).toBe('repaired')
  expect(report?.findings.map(({ what, key }) => `${what} ${key}`)).toContain('changes 1 to 3')
})

test('closing waits for changes under way; later ones are refused', async () => {
  const held = heldBatches()
  const directory = await temporary()
  const store = await opened(directory, {}, held)
  const writing = store.write((tx) => put(tx, 'a@alice', '1'))
  const closing = store.close()
  await expect(store.write((tx) => put(tx, 'b@alice', '1'))).rejects.toMatchObject({ code: 'AT0002' })
  await held.arrived()
  held.next()
  expect(await writing).toBe(0)
  await closing
  await expect(async () => store.records.get('a@alice')).rejects.toMatchObject({ code: 'AT0002' })
  await expect(all(store.records.entries())).rejects.toMatchObject({ code: 'AT0002' })
  const again = await opened(directory)
  expect((await all(again.records.entries())).map(([key]) => key)).toEqual(['a@alice'])
})
