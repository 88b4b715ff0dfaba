import { beforeEach, describe, expect, it } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import { AtError } from '../../src/core/errors.ts'
import type { Metadata } from '../../src/core/metadata.ts'
import type { Store } from '../../src/core/storage.ts'
import { type Refresh, startRefresh } from '../../src/services/refresh.ts'
import { openStore } from '../../src/store/store.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { closeLater, temporaryDirectory, until } from '../support/network.ts'

const day = 86_400_000
let clock: ManualClock
let store: Store
/** What was asked or dropped, and how long after the start. */
let seen: { what: string; atMs: number }[]
let away: Set<AtSign>
/** Reads of the store under way, which wait in earnest. */
let reading: number

beforeEach(async () => {
  clock = manualClock()
  seen = []
  reading = 0
  away = new Set()
  store = await openStore({ directory: await temporaryDirectory(), atSign: '@alice', clock })
  closeLater(() => store.close())
})

async function keep(text: string, metadata: Metadata): Promise<void> {
  const change = { operation: '*', opTime: clock.now(), commit: true } as const
  await store.write((tx) => tx.putRecord(parseAtKey(text), { value: 'v', metadata }, change))
}

async function* watched<T>(rows: AsyncIterable<T>): AsyncGenerator<T> {
  reading++
  try {
    yield* rows
  } finally {
    reading--
  }
}

/** Starts the rounds: the first one begins after an hour and this share of the rest of a day. */
function start(random: number): Refresh {
  const begin = clock.now()
  const note = (what: string): void => void seen.push({ what, atMs: clock.now() - begin })
  const refresh = startRefresh({
    ...{ clock, log: () => {}, random: () => random },
    store: {
      ...store,
      records: { ...store.records, entries: (...range) => watched(store.records.entries(...range)) },
    },
    remote: {
      async refreshKey() {},
      async refreshCopy(copy) {
        note(copy.text)
        if (copy.owner !== undefined && away.has(copy.owner)) throw new AtError('AT0021', 'away')
      },
      dropCopy: async (copy) => note(`drop ${copy.text}`),
    },
  })
  closeLater(async () => refresh.stop())
  return refresh
}

/** Lets time pass in small steps until so many copies were looked at; no time passes while the store is read. */
const passUntil = (count: number, stepMs = 30_000): Promise<void> =>
  until(() => {
    if (seen.length < count && reading === 0) clock.advance(stepMs)
    return seen.length >= count
  })

describe('refreshing copies', () => {
  it('asks for those that are due, once a day at an hour of its own, and leaves the others alone', async () => {
    const now = clock.now()
    await keep('cached:@alice:due.wavi@bob', { ttr: 60, refreshAt: now + 60_000 })
    await keep('cached:public:open@bob', { ttr: 60, refreshAt: now + 60_000 })
    await keep('cached:@alice:later.wavi@bob', { ttr: 999_999, refreshAt: now + 30 * day })
    await keep('cached:@alice:forever.wavi@bob', { ttr: -1 })
    await keep('cached:public:publickey@bob', { ttr: -1 })
    await keep('cached:@alice:over.wavi@bob', { ttr: 60, refreshAt: now, expiresAt: now + 1 })
    await keep('own.wavi@alice', {})
    start(0.5)
    clock.advance(12.5 * 3_600_000 - 1)
    await until(() => true)
    expect(seen).toEqual([])
    await passUntil(2)
    expect(seen.map(({ what }) => what)).toEqual(['cached:@alice:due.wavi@bob', 'cached:public:open@bob'])
    await passUntil(4, 600_000)
    expect((seen[2]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(day)
  })

  it('spreads the work over time', async () => {
    for (let index = 0; index < 20; index++) {
      await keep(`cached:@alice:k${index}.wavi@bob`, { ttr: 60, refreshAt: clock.now() })
    }
    start(0.5)
    await passUntil(20)
    const gaps = seen.slice(1).map(({ atMs }, index) => atMs - (seen[index]?.atMs ?? 0))
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(60_000)
  })

  it('asks an owner who is away for one copy a turn, and others all the same; later for all of them, once that one is back', async () => {
    away.add('@bob')
    for (const text of ['cached:@alice:a.wavi@bob', 'cached:@alice:b.wavi@bob', 'cached:@alice:c.wavi@carol']) {
      await keep(text, { ttr: 60, refreshAt: clock.now() })
    }
    start(0)
    await passUntil(2)
    expect(seen.map(({ what }) => what)).toEqual(['cached:@alice:a.wavi@bob', 'cached:@alice:c.wavi@carol'])
    await passUntil(3)
    away.clear()
    const againMs = (seen[2]?.atMs ?? 0) - (seen[1]?.atMs ?? 0)
    expect(againMs).toBeGreaterThanOrEqual(300_000)
    await passUntil(5)
    expect(seen.slice(2).map(({ what }) => what)).toEqual([
      ...['cached:@alice:a.wavi@bob', 'cached:@alice:a.wavi@bob', 'cached:@alice:b.wavi@bob'],
    ])
    expect((seen[3]?.atMs ?? 0) - (seen[2]?.atMs ?? 0)).toBeGreaterThanOrEqual(600_000)
  })

  it('leaves an owner who stays away to the next round after some turns', async () => {
    away.add('@bob')
    await keep('cached:@alice:a.wavi@bob', { ttr: 60, refreshAt: clock.now() })
    start(0)
    await passUntil(7, 600_000)
    expect((seen[5]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeLessThan(day / 4)
    expect((seen[6]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBe(day)
  })

  it('asks no more for a copy that was removed meanwhile', async () => {
    away.add('@bob')
    await keep('cached:@alice:a.wavi@bob', { ttr: 60, refreshAt: clock.now() })
    start(0)
    await passUntil(1)
    const change = { operation: '-', opTime: clock.now(), commit: true } as const
    await store.write((tx) => tx.removeRecord(parseAtKey('cached:@alice:a.wavi@bob'), change))
    await keep('cached:@alice:c.wavi@carol', { ttr: 60, refreshAt: clock.now() })
    await passUntil(2, 600_000)
    expect(seen.map(({ what }) => what)).toEqual(['cached:@alice:a.wavi@bob', 'cached:@alice:c.wavi@carol'])
  })

  it('comes to every owner, however many copies of one who is away sort first', async () => {
    away.add('@gone')
    const change = { operation: '*', opTime: clock.now(), commit: true } as const
    const metadata = { ttr: 60, refreshAt: clock.now() }
    await store.write(async (tx) => {
      for (let index = 10_000; index < 15_100; index++) {
        await tx.putRecord(parseAtKey(`cached:@alice:a${index}.wavi@gone`), { value: 'v', metadata }, change)
      }
    })
    await keep('cached:@alice:menu.wavi@bob', metadata)
    start(0)
    await passUntil(9, 600_000)
    expect(seen.filter((one, index) => seen[index - 1]?.what !== one.what).map(({ what }) => what)).toEqual([
      ...['cached:@alice:a10000.wavi@gone', 'cached:@alice:menu.wavi@bob', 'cached:@alice:a10000.wavi@gone'],
      ...['cached:@alice:a10500.wavi@gone', 'cached:@alice:menu.wavi@bob'],
    ])
  })

  it('drops public copies that nobody allowed, without asking; shared ones are asked for (page 07, section 8)', async () => {
    await keep('cached:public:old@bob', {})
    await keep('cached:@alice:old.wavi@bob', {})
    start(0)
    await passUntil(2)
    expect(seen.map(({ what }) => what)).toEqual(['cached:@alice:old.wavi@bob', 'drop cached:public:old@bob'])
  })
})
