import { beforeEach, describe, expect, it } from 'vitest'
import { parseAtSign } from '../../src/core/at-sign.ts'
import { AtError } from '../../src/core/errors.ts'
import type { Notification, Priority } from '../../src/core/notification.ts'
import { createDelivery } from '../../src/services/delivery.ts'
import { createEphemeral } from '../../src/services/ephemeral.ts'
import { createTextFilter } from '../../src/services/text-filter.ts'
import { notification, opened, start, temporary } from '../store/fixtures.ts'
import { startAlice } from '../support/alice.ts'
import { manualClock } from '../support/clock.ts'
import { closeLater, type Member, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

let network: TestNetwork
let alice: Member
let owner: Client

beforeEach(async () => {
  ;({ network, alice, owner } = await startAlice())
  const bob = await network.script('@bob')
  await bob.close()
})

const valueIn = (line: string): string => line.slice(line.lastIndexOf(':') + 1)

/** Queues one for @bob; each is about a key of its own, unless the key is told. */
const send = async (priority: Priority, value: string, { key = value, options = '' } = {}): Promise<void> => {
  const reply = await owner.ask(`notify:priority:${priority}:${options}@bob:${key}.wavi@alice:${value}`)
  expect(reply).toMatch(/^data:/)
  network.clock.advance(1)
}

/** What @bob gets once it is back, in that order. */
async function arrivals(count: number): Promise<string[]> {
  const bob = await network.script('@bob')
  await until(() => {
    network.clock.advance(500)
    return bob.linesWith('notify:').length >= count
  })
  return bob.linesWith('notify:').map(valueIn)
}

describe('what waited for a peer that was away', () => {
  it('goes high before medium before low, and each in the order in which it was sent', async () => {
    const sent = ['low', 'high', 'medium', 'low', 'medium', 'high'] as const
    for (const [index, priority] of sent.entries()) await send(priority, `${priority}${index}`)
    expect(await arrivals(6)).toEqual(['high1', 'high5', 'medium2', 'medium4', 'low0', 'low3'])
  })

  it('keeps the order of each key: the urgent waits behind earlier ones of its own', async () => {
    await send('low', 'one', { key: 'a' })
    await send('medium', 'two', { key: 'b' })
    await send('low', 'three', { key: 'c' })
    await send('high', 'four', { key: 'A' })
    await send('high', 'five', { key: 'd' })
    await send('high', 'six', { key: 'b' })
    await send('low', 'seven', { key: 'd' })
    expect(await arrivals(7)).toEqual(['five', 'two', 'six', 'one', 'three', 'four', 'seven'])
  })

  it('comes in the same order after a restart, whose counting goes on', async () => {
    await send('low', 'first')
    await send('high', 'second')
    await alice.stop()
    await alice.start()
    owner = await alice.owner()
    await send('high', 'third')
    await send('low', 'fourth')
    expect(await arrivals(4)).toEqual(['second', 'third', 'first', 'fourth'])
  })

  it('comes in one order, whether it is stored or ephemeral', async () => {
    await send('low', 'stored')
    await send('high', 'passing', { options: 'eph:' })
    await send('high', 'urgent')
    await send('low', 'fleeting', { options: 'eph:' })
    expect(await arrivals(4)).toEqual(['passing', 'urgent', 'stored', 'fleeting'])
  })

  it('counts the newest few of a notifier whatever their priorities', async () => {
    const latest = { key: 'place', options: 'strategy:latest:latestN:2:notifier:loc:' }
    await send('high', 'here', latest)
    await send('low', 'there', latest)
    await alice.stop()
    const rests = (): number => alice.logs.filter(({ message }) => message === 'delivery waits').length
    const before = rests()
    await alice.start()
    owner = await alice.owner()
    // What is on its way is not called back.
    await until(() => rests() > before)
    await send('medium', 'elsewhere', latest)
    expect(await arrivals(2)).toEqual(['there', 'elsewhere'])
  })
})

/** A delivery whose peer answers everything with success once it may. */
async function deliverAll(waiting: readonly Partial<Notification>[]) {
  const clock = manualClock(start)
  const store = await opened(await temporary())
  await store.write(async (tx) => {
    for (const [index, one] of waiting.entries())
      await tx.enqueue(notification(`n${index}`, { at: start + index, ...one }))
  })
  let largest = 0
  const sent: string[] = []
  const outbox: typeof store.outbox = {
    ...store.outbox,
    async pending(...range) {
      const found = await store.outbox.pending(...range)
      largest = Math.max(largest, found.length)
      return found
    },
  }
  const session = {
    request: async (line: string) => {
      sent.push(valueIn(line))
      return 'data:success'
    },
    features: async () => ({ eAtn: false, eph: false }),
    ...{ busy: false, closed: false, close() {} },
  }
  const delivery = createDelivery({
    ...{ self: parseAtSign('@alice'), clock, log: () => {}, store: { ...store, outbox } },
    ...{ autoNotify: true, notificationMs: 900_000, ephemeral: createEphemeral({ self: '@alice', clock }) },
    peers: {
      proven: async () => session,
      anonymous: () => Promise.reject(new AtError('AT0004', 'not asked for')),
      ...{ count: () => 0, lineBytes: () => 0, close() {} },
    },
  })
  closeLater(async () => delivery.close())
  await delivery.start()
  await until(() => sent.length >= waiting.length)
  return { sent, largest }
}

it('the urgent is found behind far more than is ever held in memory', async () => {
  const many = Array.from({ length: 2_000 }, (_, index) => ({ key: `@bob:k${index}.wavi@alice`, value: `low${index}` }))
  const alarm = { key: '@bob:alarm.wavi@alice', value: 'alarm', priority: 'high' } as const
  const again = { key: '@bob:k1500.wavi@alice', value: 'again', priority: 'high' } as const
  const { sent, largest } = await deliverAll([...many, again, alarm])
  expect(sent[0]).toBe('alarm')
  expect(sent.indexOf('again')).toBeGreaterThan(sent.indexOf('low1500'))
  expect(sent.filter((value) => value.startsWith('low'))).toEqual(many.map(({ value }) => value))
  expect(largest).toBeLessThanOrEqual(64)
})

it('the urgent of a key whose earlier ones fill all that is read ahead does not stand still', async () => {
  const key = '@bob:same.wavi@alice'
  const urgent = Array.from({ length: 1_200 }, (_, index) => ({
    key,
    value: `high${index}`,
    priority: 'high' as const,
  }))
  const { sent } = await deliverAll([{ key, value: 'low' }, ...urgent])
  expect(sent).toEqual(['low', ...urgent.map(({ value }) => value)])
})

it('with no place free for a session, whoever has something urgent asks for one more often', async () => {
  const clock = manualClock(start)
  const store = await opened(await temporary())
  await store.write(async (tx) => {
    await tx.enqueue(notification('n1', { to: '@bob', key: '@bob:a.wavi@alice', expiresAt: start + 900_000 }))
    const urgent = { to: '@carol', key: '@carol:a.wavi@alice', priority: 'high' } as const
    await tx.enqueue(notification('n2', { ...urgent, expiresAt: start + 900_000 }))
  })
  const asked: string[] = []
  const delivery = createDelivery({
    ...{ self: parseAtSign('@alice'), clock, log: () => {}, store, random: () => 0.5 },
    ...{ autoNotify: true, notificationMs: 900_000, ephemeral: createEphemeral({ self: '@alice', clock }) },
    peers: {
      async proven(peer) {
        asked.push(peer)
        throw new AtError('AT0006', 'already at work with 200 atServers')
      },
      anonymous: () => Promise.reject(new AtError('AT0004', 'not asked for')),
      ...{ count: () => 0, lineBytes: () => 0, close() {} },
    },
  })
  closeLater(async () => delivery.close())
  await delivery.start()
  await until(() => {
    clock.advance(500)
    return asked.filter((peer) => peer === '@carol').length >= 100
  })
  expect(asked.filter((peer) => peer === '@bob').length).toBeLessThan(25)
})

it('a set of texts forgets none, and seldom takes another for one of them', () => {
  const filter = createTextFilter()
  for (let index = 0; index < 10_000; index++) filter.add(`@bob:k${index}.wavi@alice`)
  const held = (name: string): number =>
    Array.from({ length: 10_000 }, (_, index) => `@bob:${name}${index}.wavi@alice`).filter(filter.mayHold).length
  expect(held('k')).toBe(10_000)
  expect(held('other')).toBeLessThan(300)
})
