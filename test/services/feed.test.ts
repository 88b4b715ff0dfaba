import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Identity } from '../../src/core/access.ts'
import type { Log } from '../../src/core/log.ts'
import type { Notification } from '../../src/core/notification.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import type { Notifications, Store } from '../../src/core/storage.ts'
import { createFeed, type WriteLine } from '../../src/services/feed.ts'
import { openStore } from '../../src/store/store.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { closeLater, temporaryDirectory, until } from '../support/network.ts'

const owner: Identity = { kind: 'owner', via: 'cram' }
const everything = { since: undefined, pattern: undefined, selfNotifications: false, strict: false }

const notification = (id: string, at: number, changes: Partial<Notification> = {}): Notification => ({
  ...{ id, from: '@bob', to: '@alice', key: `@alice:${id}.wavi@bob`, value: id, operation: 'update' },
  ...{ messageType: 'key', type: 'received', priority: 'low', strategy: 'all', latestN: 1, notifier: 'SYSTEM' },
  ...{ at, expiresAt: at + 900_000, status: 'delivered', isEncrypted: false, metadata: {} },
  ...changes,
})

interface World {
  readonly clock: ManualClock
  readonly store: Store
  readonly feed: ReturnType<typeof createFeed>
  readonly logged: string[]
  /** Stores a notification as the `notify` verb does. */
  receive(notification: Notification): Promise<void>
}

async function world(notifications?: Notifications): Promise<World> {
  const clock = manualClock()
  const store = await openStore({ directory: await temporaryDirectory(), atSign: '@alice', clock })
  const logged: string[] = []
  const log: Log = (_level, message) => void logged.push(message)
  const lastCommitId = (): number => store.commits.lastId()
  const feed = createFeed({
    ...{ self: '@alice', clock, lastCommitId, log },
    notifications: notifications ?? store.notifications,
  })
  closeLater(async () => {
    feed.close()
    await store.close()
  })
  const receive = (received: Notification): Promise<void> =>
    store.write(async (tx) => {
      await tx.putNotification(received)
      tx.onCommit(() => feed.received(received))
    })
  return { clock, store, feed, logged, receive }
}

function reader(): { lines: string[]; ids: () => string[]; write: WriteLine } {
  const lines: string[] = []
  const ids = (): string[] =>
    lines.map((line) => (JSON.parse(line.slice('notification: '.length)) as { id: string }).id)
  const write = (line: string): undefined => {
    lines.push(line)
  }
  return { lines, ids, write }
}

describe('a monitor that asks for history', () => {
  it('gets every notification once, whatever arrives while the history is written', async () => {
    const { clock, store, feed, receive } = await world()
    let round = 0
    const plan = fc.record({
      before: fc.nat({ max: 12 }),
      meanwhile: fc.array(fc.nat({ max: 3 }), { maxLength: 12 }),
      skip: fc.nat({ max: 12 }),
    })
    await fc.assert(
      fc.asyncProperty(plan, async ({ before, meanwhile, skip }) => {
        const name = `r${round++}-`
        clock.advance(1_000)
        const start = clock.now()
        let count = 0
        const next = (): Promise<void> => receive(notification(`${name}${count}`, start + count++))
        await Promise.all(Array.from({ length: before }, next))
        const { ids, write } = reader()
        const stop = feed.subscribe({ ...everything, since: start + skip - 1 }, owner, write)
        const writes: Promise<void>[] = []
        for (const turns of meanwhile) {
          writes.push(next())
          for (let index = 0; index < turns; index++) await turn()
        }
        await Promise.all(writes)
        const expected = Array.from({ length: count }, (_, index) => `${name}${index}`).filter(
          (_, index) => index >= Math.min(skip, before),
        )
        await until(() => ids().length >= expected.length)
        await store.write(async () => {})
        expect(ids()).toEqual(expected)
        stop()
      }),
      { numRuns: 60, seed: 20_260_131 },
    )
  })

  it('gets only what is later than the time it names', async () => {
    const { clock, feed, receive } = await world()
    const at = clock.now()
    for (const [index, id] of ['a', 'b', 'c'].entries()) await receive(notification(id, at + index))
    const { ids, write } = reader()
    feed.subscribe({ ...everything, since: at + 1 }, owner, write)
    await until(() => ids().length === 1)
    expect(ids()).toEqual(['c'])
  })

  it('gets nothing that has expired, was sent, or does not match', async () => {
    const { clock, feed, receive } = await world()
    const at = clock.now()
    await receive(notification('expired', at, { expiresAt: at }))
    await receive(notification('sent', at + 1, { type: 'sent' }))
    await receive(notification('self', at + 2, { type: 'self' }))
    await receive(notification('other', at + 3, { from: '@carol' }))
    await receive(notification('match', at + 4))
    const { ids, write } = reader()
    feed.subscribe({ ...everything, since: 0, pattern: compilePattern('match|carol') }, owner, write)
    await until(() => ids().length === 2)
    expect(ids()).toEqual(['other', 'match'])
  })

  it('gets a second content under an id that was in the history', async () => {
    const { clock, feed, receive } = await world()
    await receive(notification('same', clock.now()))
    const { ids, lines, write } = reader()
    feed.subscribe({ ...everything, since: 0 }, owner, write)
    await receive(notification('same', clock.now() + 1, { value: 'again' }))
    await until(() => ids().length === 2)
    expect(lines[1]).toContain('"value":"again"')
  })

  it('gets contents of one id and one time that differ late in a long value', async () => {
    const { clock, feed, receive } = await world()
    const long = 'x'.repeat(1_000)
    const ends = ['a', 'b', 'c']
    const all = ends.map((end) => notification('same', clock.now(), { value: long + end }))
    await Promise.all(all.slice(0, 2).map(receive))
    const { lines, write } = reader()
    feed.subscribe({ ...everything, since: 0 }, owner, write)
    await Promise.all(all.slice(2).map(receive))
    await until(() => lines.length === ends.length)
    expect(lines.map((line) => /x([abc])"/.exec(line)?.[1]).sort()).toEqual(ends)
  })

  it('goes on live, and the fault is logged, when the store cannot be read', async () => {
    const broken: Notifications = {
      get: async () => undefined,
      has: async () => false,
      // biome-ignore lint/correctness/useYield: it fails before its first notification
      since: async function* () {
        throw new Error('disk gone')
      },
      count: async () => ({ total: 0, sent: 0, received: 0 }),
    }
    const { clock, feed, logged } = await world(broken)
    const { ids, write } = reader()
    feed.subscribe({ ...everything, since: 0 }, owner, write)
    feed.received(notification('live', clock.now()))
    await until(() => ids().length === 1)
    expect(logged).toEqual(['stored notifications could not be read for a monitor'])
  })

  describe('and reads slowly', () => {
    /** Takes a line whenever it is told to. */
    function slow(): { ids: string[]; write: WriteLine; takeOne: () => void } {
      const ids: string[] = []
      let takeOne = (): void => {}
      const write: WriteLine = (line) => {
        ids.push((JSON.parse(line.slice('notification: '.length)) as { id: string }).id)
        return new Promise((resolve) => {
          takeOne = resolve
        })
      }
      return { ids, write, takeOne: () => takeOne() }
    }
    const names = (prefix: string, count: number): string[] =>
      Array.from({ length: count }, (_, index) => `${prefix}${index}`)

    it('gets no more than it takes, and all of it in the end', async () => {
      const { clock, feed, receive } = await world()
      const stored = names('n', 20)
      for (const [index, id] of stored.entries()) await receive(notification(id, clock.now() + index))
      const { ids, write, takeOne } = slow()
      feed.subscribe({ ...everything, since: 0 }, owner, write)
      for (let count = 1; count <= stored.length; count++) {
        await until(() => ids.length === count)
        await turn()
        expect(ids).toHaveLength(count)
        takeOne()
      }
      expect(ids).toEqual(stored)
    })

    it('gets each of the many that come meanwhile once, and not all of them are kept in memory', async () => {
      const { clock, store, feed } = await world()
      const put = (list: readonly string[], at: number): Promise<void> =>
        store.write(async (tx) => {
          for (const [index, id] of list.entries()) {
            const made = notification(id, at + index)
            await tx.putNotification(made)
            tx.onCommit(() => feed.received(made))
          }
        })
      const [before, meanwhile] = [names('b', 5), names('m', 2_500)]
      await put(before, clock.now())
      const { ids, write, takeOne } = slow()
      feed.subscribe({ ...everything, since: 0 }, owner, write)
      await until(() => ids.length === 1)
      await put(meanwhile, clock.now() + before.length)
      await until(() => {
        takeOne()
        return ids.length >= before.length + meanwhile.length
      })
      await put(['live'], clock.now() + 10_000)
      await until(() => {
        takeOne()
        return ids.includes('live')
      })
      expect(ids).toEqual([...before, ...meanwhile, 'live'])
    })

    it('lets go of the store when it leaves', async () => {
      const { clock, store, feed, receive } = await world()
      for (const id of ['a', 'b', 'c']) await receive(notification(id, clock.now()))
      const { ids, write } = slow()
      const leave = feed.subscribe({ ...everything, since: 0 }, owner, write)
      await until(() => ids.length === 1)
      leave()
      await store.close()
      expect(ids).toHaveLength(1)
    })
  })

  it('is forgotten without a fault when it leaves or the server stops meanwhile', async () => {
    const { clock, store, feed, receive, logged } = await world()
    for (let index = 0; index < 50; index++) await receive(notification(`n${index}`, clock.now() + index))
    const first = reader()
    feed.subscribe({ ...everything, since: 0 }, owner, first.write)()
    feed.subscribe({ ...everything, since: 0 }, owner, () => undefined)
    feed.close()
    await store.close()
    await turn()
    expect(first.lines).toEqual([])
    expect(logged).toEqual([])
  })
})

describe('a monitor of an enrollment', () => {
  it('gets notifications of the namespaces it may read', async () => {
    const { clock, feed } = await world()
    const app: Identity = { kind: 'owner', via: 'pkam', enrollmentId: 'e1', namespaces: { wavi: 'r' } }
    const { ids, write } = reader()
    feed.subscribe(everything, app, write)
    feed.received(notification('mine', clock.now()))
    feed.received(notification('foreign', clock.now(), { key: '@alice:x.buzz@bob' }))
    expect(ids()).toEqual(['mine'])
  })

  it('gets texts, which have no namespace, only by a grant of all of them (page 08, 7.1)', async () => {
    const { clock, feed } = await world()
    const as = (namespaces: Record<string, 'r' | 'rw'>): Identity => ({
      ...{ kind: 'owner', via: 'pkam', enrollmentId: 'e1', namespaces },
    })
    const [app, all] = [reader(), reader()]
    feed.subscribe(everything, as({ wavi: 'rw' }), app.write)
    feed.subscribe(everything, as({ '*': 'r' }), all.write)
    for (const key of ['@alice:Hello there', '@alice:see you at home.wavi']) {
      feed.received(notification(key, clock.now(), { key, value: null, messageType: 'text' }))
    }
    expect([app.ids().length, all.ids().length]).toEqual([0, 2])
  })
})

describe('statistics', () => {
  it('tell the newest commit id once for many changes of one turn, and every fifteen seconds', async () => {
    const { clock, feed } = await world()
    const { lines, write } = reader()
    feed.subscribe(everything, owner, write)
    feed.changed(1, 'update')
    feed.changed(2, 'delete')
    await turn()
    expect(lines).toEqual([
      `notification: {"id":"-1","from":"@alice","to":"@alice","key":"statsNotification.@alice","value":"2","operation":"delete","epochMillis":${clock.now() - 1},"messageType":"MessageType.key","isEncrypted":false,"metadata":null}\n`,
    ])
    clock.advance(30_000)
    expect(lines).toHaveLength(3)
    expect(lines[2]).toContain('"value":"-1","operation":"update"')
  })

  it('bear no time at which a notification may still come that is on its way to flash', async () => {
    const { clock, store, feed, receive } = await world()
    const { lines, write } = reader()
    feed.subscribe(everything, owner, write)
    await receive(notification('shown', clock.now()))
    const updated = store.write(async (tx) => tx.onCommit(() => feed.changed(1, 'update')))
    clock.advance(10)
    const late = notification('late', clock.now())
    clock.advance(40)
    await updated
    await turn()
    const times = lines.map(
      (line) => JSON.parse(line.slice('notification: '.length)) as { id: string; epochMillis: number },
    )
    const since = times.find(({ id }) => id === '-1')?.epochMillis
    expect(since).toBe(late.at - 10)
    await receive(late)
    const resumed = reader()
    feed.subscribe({ ...everything, since }, owner, resumed.write)
    await until(() => resumed.ids().length === 1)
    expect(resumed.ids()).toEqual(['late'])
  })

  it('bear no time beyond the history that a monitor was shown', async () => {
    const { clock, feed, receive } = await world()
    const start = clock.now()
    for (let index = 0; index < 3; index++) await receive(notification(`n${index}`, start + index))
    clock.advance(50)
    const lines: string[] = []
    feed.subscribe({ ...everything, since: 0 }, owner, (line) => {
      lines.push(line)
      return new Promise(() => {})
    })
    await until(() => lines.length === 1)
    feed.changed(1, 'update')
    await until(() => lines.length === 2)
    expect(lines[1]).toContain(`"epochMillis":${start},`)
  })

  it('come to a strict monitor only when its pattern wants them', async () => {
    const { feed } = await world()
    const [strict, wanting] = [reader(), reader()]
    feed.subscribe({ ...everything, strict: true, pattern: compilePattern('wavi') }, owner, strict.write)
    feed.subscribe({ ...everything, strict: true, pattern: compilePattern('statsNotification') }, owner, wanting.write)
    feed.changed(7, 'update')
    await turn()
    expect([strict.lines.length, wanting.lines.length]).toEqual([0, 1])
  })
})
