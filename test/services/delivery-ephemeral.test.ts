import { beforeEach, describe, expect, it } from 'vitest'
import type { Notification } from '../../src/core/notification.ts'
import { deliveryLine } from '../../src/services/delivery-line.ts'
import { startAlice } from '../support/alice.ts'
import { type Answer, type Member, startTestNetwork, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

const at = Date.UTC(2026, 0, 31, 10)
const ephemeral: Notification = {
  ...{ id: 'n1', from: '@alice', to: '@bob', key: '@bob:phone.wavi@alice', value: 'v' },
  ...{ operation: 'update', messageType: 'key', type: 'sent', priority: 'low', strategy: 'all', latestN: 1 },
  ...{ notifier: 'SYSTEM', at, expiresAt: at + 120_000, status: 'queued', isEncrypted: true, metadata: {} },
  ephemeral: true,
}

describe('the line of an ephemeral notification (page 07, E42 and 16.1)', () => {
  it.each([
    [{ eAtn: false, eph: true, basic: false }, ':ttln:119998:eph:ttl:0:'],
    [{ eAtn: true, eph: true, basic: false }, ':ttln:119998:eph:ttl:0:'],
    [{ eAtn: true, eph: false, basic: false }, ':ttln:119998:ttl:0:'],
    [{ eAtn: false, eph: true, basic: true }, ':ttln:119998:ttl:0:'],
  ])('to %j', (reader, part) => {
    expect(deliveryLine(ephemeral, at + 2, reader)).toBe(
      `notify:id:n1:update:messageType:key:notifier:SYSTEM${part}ttb:0:isEncrypted:true:@bob:phone.wavi@alice:v`,
    )
  })

  it('with an expiry that the client chose', () => {
    const chosen: Notification = { ...ephemeral, explicitExpiry: true }
    expect(deliveryLine(chosen, at, { eAtn: true, eph: true, basic: false })).toContain(
      ':eAtn:2026-01-31T10:02:00.000000Z:eph:ttl:0:',
    )
    expect(deliveryLine(chosen, at, { eAtn: true, basic: false })).toContain(':eAtn:2026-01-31T10:02:00.000000Z:ttl:0:')
  })
})

describe('delivery of ephemeral notifications', () => {
  let network: TestNetwork
  let alice: Member
  let owner: Client
  beforeEach(async () => {
    ;({ network, alice, owner } = await startAlice())
  })
  const send = async (options: string, value = 'v'): Promise<string> =>
    /^data:([^\n]+)\n/.exec(await owner.ask(`notify:${options}@bob:reading.wavi@alice:${value}`))?.[1] ?? ''
  const isSettled = async (id: string, as: string): Promise<boolean> =>
    (await owner.ask(`notify:status:${id}`)) === `data:${as}\n@alice@`
  const listing =
    (...names: string[]): Answer =>
    (line, { usual }) =>
      line === 'info:brief'
        ? `data:${JSON.stringify({ features: names.map((name) => ({ name, status: 'GA' })) })}\n@alice@`
        : usual()

  it('goes as eph to a peer that lists it, which is asked once', async () => {
    const bob = await network.script('@bob', listing('notify.eph', 'notify.eAtn'))
    for (const value of ['1', '2', '3']) await send('eph:', value)
    await until(() => bob.linesWith('notify:').length === 3)
    expect(bob.linesWith('notify:').every((line) => line.includes(':eph:'))).toBe(true)
    expect(bob.linesWith('info:brief')).toHaveLength(1)
  })

  it('goes as an ordinary one to a peer that does not', async () => {
    const bob = await network.script('@bob', listing('notify.eAtn'))
    const id = await send('eph:')
    await until(() => isSettled(id, 'delivered'))
    expect(bob.linesWith('notify:')[0]).toMatch(/:ttln:120000:ttl:0:ttb:0:isEncrypted:true:@bob:reading\.wavi@alice:v$/)
  })

  it('keeps its place among stored ones', async () => {
    await network.script('@bob').then((peer) => peer.close())
    const values = ['1', '2', '3', '4', '5', '6']
    const ids: string[] = []
    for (const [index, value] of values.entries()) {
      ids.push(await send(index % 2 === 0 ? '' : 'eph:', value))
      network.clock.advance(1)
    }
    await until(() => alice.logs.some(({ message }) => message === 'delivery waits'))
    const bob = await network.script('@bob', listing('notify.eph', 'notify.eAtn'))
    network.clock.advance(12_000)
    await until(() => isSettled(ids.at(-1) ?? '', 'delivered'))
    expect(bob.linesWith('notify:').map((line) => line.slice(line.lastIndexOf(':') + 1))).toEqual(values)
  })

  it('is tried until its two minutes are over, and then it never was', async () => {
    await network.script('@bob').then((peer) => peer.close())
    const id = await send('ttln:600000:eph:')
    await until(() => alice.logs.some(({ message }) => message === 'delivery waits'))
    expect(await isSettled(id, 'queued')).toBe(true)
    network.clock.advance(121_000)
    const bob = await network.script('@bob')
    const next = await send('')
    const delivered = until(() => isSettled(next, 'delivered'))
    network.clock.advance(12_000)
    await delivered
    expect(bob.linesWith('notify:')).toHaveLength(1)
    expect(await owner.ask(`notify:status:${id}`)).toBe('data:null\n@alice@')
  })
})

describe('a recipient that is blocked', () => {
  it('does not get what waits for it already', async () => {
    const network = await startTestNetwork(['@alice'])
    const alice = network.member('@alice')
    const owner = await alice.owner()
    await network.script('@bob').then((peer) => peer.close())
    for (const line of ['notify:id:stored:@bob:x.wavi@alice:v', 'notify:id:memory:eph:@bob:x.wavi@alice:v'])
      await owner.ask(line)
    await until(() => alice.logs.some(({ message }) => message === 'delivery waits'))
    expect(await owner.ask('config:block:add:@bob')).toBe('data:success\n@alice@')
    const bob = await network.script('@bob')
    network.clock.advance(12_000)
    for (const id of ['stored', 'memory']) {
      await until(async () => (await owner.ask(`notify:status:${id}`)) === 'data:errored\n@alice@')
    }
    expect(bob.linesWith('notify:')).toEqual([])
  })
})
