import { beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../src/store/store.ts'
import { type Member, type ScriptedPeer, startTestNetwork, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

let network: TestNetwork

const statusOf = async (owner: Client, id: string): Promise<string> =>
  (await owner.ask(`notify:status:${id}`)).slice(5, -8)
const idIn = (reply: string): string => /^data:([^\n]+)\n/.exec(reply)?.[1] ?? ''

describe('two atServers', () => {
  let alice: Member
  let bob: Member
  let owner: Client
  let reader: Client

  beforeEach(async () => {
    network = await startTestNetwork(['@alice', '@bob'])
    alice = network.member('@alice')
    bob = network.member('@bob')
    owner = await alice.owner()
    reader = await bob.owner()
  })

  it('show an update of a shared record to the recipient once, and give it on lookup', async () => {
    const monitor = await bob.monitor()
    await owner.ask('update:@bob:temp.sensors@alice 21.5')
    await monitor.values(1)
    await owner.ask('notify:@bob:after.sensors@alice:end')
    expect(await monitor.values(2)).toEqual(['21.5', 'end'])
    expect(monitor.received[0]?.key).toBe('@bob:temp.sensors@alice')
    expect(await reader.ask('lookup:temp.sensors@alice')).toBe('data:21.5\n@bob@')
  })

  it('keep the recipient’s copy true: written by update, removed by delete where its owner wants that', async () => {
    const monitor = await bob.monitor()
    const ask = (key: string): Promise<string> => reader.ask(`llookup:cached:@bob:${key}.wavi@alice`)
    await owner.ask('update:ttr:-1:ccd:true:@bob:goes.wavi@alice v1')
    await owner.ask('update:ttr:-1:ccd:false:@bob:stays.wavi@alice v1')
    await monitor.values(2)
    expect(await ask('goes')).toBe('data:v1\n@bob@')
    await owner.ask('update:ttr:-1:@bob:goes.wavi@alice v2')
    await monitor.values(3)
    expect(await ask('goes')).toBe('data:v2\n@bob@')
    await owner.ask('delete:@bob:goes.wavi@alice')
    await owner.ask('delete:@bob:stays.wavi@alice')
    await monitor.values(5)
    expect(await ask('goes')).toContain('error:AT0015')
    expect(await ask('stays')).toBe('data:v1\n@bob@')
  })

  it('give the copy the times of the original', async () => {
    const monitor = await bob.monitor()
    network.clock.advance(5_000)
    await owner.ask('update:ttl:60000:ttr:-1:@bob:clock.wavi@alice v')
    await monitor.values(1)
    const times = (json: string): unknown => {
      const { createdAt, updatedAt, expiresAt } = JSON.parse(json.slice(5, json.lastIndexOf('\n'))) as Record<
        string,
        unknown
      >
      return { createdAt, updatedAt, expiresAt }
    }
    const original = times(await owner.ask('llookup:meta:@bob:clock.wavi@alice'))
    expect(times(await reader.ask('llookup:meta:cached:@bob:clock.wavi@alice'))).toEqual(original)
    expect(original).toMatchObject({ expiresAt: '2026-01-31 10:01:05.000Z' })
  })

  it('carry on where they were when the sender is restarted between commit and delivery', async () => {
    await bob.stop()
    const id = idIn(await owner.ask('update:@bob:temp.sensors@alice 21.5'))
    expect(id).toBe('1')
    await until(() => alice.logs.some(({ message }) => message === 'delivery waits'))
    await alice.stop()
    await bob.start()
    const monitor = await bob.monitor()
    await alice.start()
    await monitor.values(1)
    await (await alice.owner()).ask('notify:@bob:after.sensors@alice:end')
    expect(await monitor.values(2)).toEqual(['21.5', 'end'])
  })

  it('meet again after the recipient was restarted, with the notifications still there for it', async () => {
    const first = await bob.monitor()
    await owner.ask('notify:@bob:n.wavi@alice:one')
    await first.values(1)
    await bob.stop()
    await bob.start()
    const second = await bob.monitor('monitor:0')
    await owner.ask('notify:@bob:n.wavi@alice:two')
    expect(await second.values(2)).toEqual(['one', 'two'])
  })

  it('both announce and ask at the same time without waiting for each other', async () => {
    const [toBob, toAlice] = [await bob.monitor(), await alice.monitor()]
    const values = Array.from({ length: 30 }, (_, index) => `v${index}`)
    await Promise.all([
      ...values.map((value) => owner.ask(`notify:@bob:a.wavi@alice:${value}`)),
      ...values.map((value) => reader.ask(`notify:@alice:b.wavi@bob:${value}`)),
      ...values.map(() => owner.ask('lookup:none.wavi@bob')),
      ...values.map(() => reader.ask('plookup:signing_publickey@alice')),
    ])
    expect(await toBob.values(30)).toEqual(values)
    expect(await toAlice.values(30)).toEqual(values)
  })

  it('carry texts as they were written', async () => {
    const monitor = await bob.monitor()
    await owner.ask('notify:messageType:text:@bob:Hello There')
    await until(() => monitor.received.length === 1)
    expect(monitor.received[0]?.key).toBe('@bob:Hello There')
  })
})

/** Has 10,000 notifications wait for @carol. */
async function fillOutbox({ directory, atSign }: Member): Promise<void> {
  const at = network.clock.now()
  const store = await openStore({ directory, atSign, clock: network.clock })
  await store.write(async (tx) => {
    for (let index = 0; index < 10_000; index++) {
      await tx.enqueue({
        ...{ id: `n${index}`, from: atSign, to: '@carol', key: `@carol:n.wavi${atSign}`, value: 'v' },
        ...{ operation: 'update', messageType: 'key', type: 'sent', priority: 'low', strategy: 'all', latestN: 1 },
        ...{ notifier: 'SYSTEM', at, expiresAt: at + 900_000, status: 'queued', isEncrypted: false, metadata: {} },
      })
    }
  })
  await store.close()
}

describe('a recipient whose outbox is full', () => {
  it('is named to who notifies it, records for it are kept, and other recipients are served', async () => {
    network = await startTestNetwork(['@alice', '@bob'])
    const alice = network.member('@alice')
    await network.script('@carol').then((carol) => carol.close())
    const monitor = await network.member('@bob').monitor()
    await alice.stop()
    await fillOutbox(alice)
    await alice.start()
    const owner = await alice.owner()
    const full =
      'error:AT0006-Outbound connection limit exceeded : 10000 notifications are waiting for @carol already\n@alice@'
    const before = await owner.ask('stats:3')
    expect(await owner.ask('notify:@carol:n.wavi@alice:v')).toBe(full)
    expect(await owner.ask('stats:3')).toBe(before)
    expect(await owner.ask('update:@carol:n.wavi@alice v')).toMatch(/^data:\d+\n@alice@$/)
    expect(await owner.ask('llookup:@carol:n.wavi@alice')).toBe('data:v\n@alice@')
    expect(alice.logs).toContainEqual(
      expect.objectContaining({ level: 'warn', details: expect.objectContaining({ recipient: '@carol' }) }),
    )
    await owner.ask('notify:@bob:n.wavi@alice:for bob')
    expect(await monitor.values(1)).toEqual(['for bob'])
  })
})

describe('what the server of another atSign sends', () => {
  let peer: Client
  let bob: ScriptedPeer
  let owner: Client
  let alice: Member

  beforeEach(async () => {
    network = await startTestNetwork(['@alice'])
    alice = network.member('@alice')
    bob = await network.script('@bob')
    peer = await bob.session('@alice')
    owner = await alice.owner()
  })

  it.each([
    ['@carol:phone.wavi@bob:v', 'Notification from @bob is for @carol, not @alice'],
    ['@alice:phone.wavi:v', 'Notification from @bob is of a key with no sharedBy'],
    ['@alice:phone.wavi@eve:v', '@eve is not authorized to send notification as @bob'],
    ['public:phone.wavi@bob:v', 'Notification from @bob is for no atSign, not @alice'],
  ])('is refused as %s', async (subject, reason) => {
    expect(await peer.ask(`notify:id:n1:update:messageType:key:ttr:-1:${subject}`)).toBe(
      `error:AT0009-Exception: ${reason}\n@`,
    )
    expect(await owner.ask('scan ^cached:')).toBe('data:[]\n@alice@')
    expect(await owner.ask('stats:11')).toContain('"{\\"total\\":0,')
    expect(await peer.ask('noop:0')).toBe('data:ok\n@bob@')
  })

  it('is shown once, however often it is delivered under one id', async () => {
    const monitor = await alice.monitor()
    const line = 'notify:id:n5:update:messageType:key:notifier:system:ttln:60000:@alice:phone.wavi@bob:v'
    expect(await peer.ask(line)).toBe('data:success\n@bob@')
    expect(await peer.ask(line.replace('60000', '59000'))).toBe('data:success\n@bob@')
    expect(await (await bob.session('@alice')).ask(line)).toBe('data:success\n@bob@')
    expect(await peer.ask(line.replace('n5', 'n6').replace(':v', ':end'))).toBe('data:success\n@bob@')
    expect(await monitor.values(2)).toEqual(['v', 'end'])
  })

  it('is taken and forgotten when its time is over', async () => {
    expect(await peer.ask('notify:id:n3:update:messageType:key:eAtn:2020-01-01T00:00:00Z:@alice:x.wavi@bob:v')).toBe(
      'data:success\n@bob@',
    )
    expect(await owner.ask('stats:11')).toContain('"{\\"total\\":0,')
  })

  it('is cached with the times of its owner, and removed only where the copy says so', async () => {
    const put = (ccd: boolean, name: string): Promise<string> =>
      peer.ask(
        `notify:id:${name}:update:messageType:key:ttr:100000:ccd:${ccd}:cAt:2020-01-02T03:04:05.678000Z` +
          `:uAt:2021-02-03T04:05:06.789000Z:eAt:2030-01-01T00:00:00.000000Z:@alice:${name}.wavi@bob:hello`,
      )
    expect(await put(true, 'goes')).toBe('data:success\n@bob@')
    expect(await put(false, 'stays')).toBe('data:success\n@bob@')
    expect(JSON.parse((await owner.ask('llookup:meta:cached:@alice:goes.wavi@bob')).slice(5, -8))).toMatchObject({
      ...{ createdAt: '2020-01-02 03:04:05.678Z', updatedAt: '2021-02-03 04:05:06.789Z' },
      ...{ expiresAt: '2030-01-01 00:00:00.000Z', createdBy: '@bob', ttr: 100_000, ccd: true },
    })
    for (const name of ['goes', 'stays']) {
      const line = `notify:id:d-${name}:delete:messageType:key:uAt:2021-02-03T04:05:06.789000Z:@alice:${name}.wavi@bob`
      expect(await peer.ask(line)).toBe('data:success\n@bob@')
    }
    expect(await owner.ask('scan ^cached:')).toBe('data:["cached:@alice:stays.wavi@bob"]\n@alice@')
    expect(await owner.ask('scan:cl goes')).toContain('"operation":"-"')
    expect(await owner.ask('scan:cl goes')).toContain('"opTime":"2021-02-03T04:05:06.789000Z"')
  })

  it('meets the owner’s own commands with a refusal', async () => {
    for (const line of ['update:x.wavi@alice v', 'monitor', 'llookup:x.wavi@alice', 'delete:x.wavi@alice']) {
      expect(await peer.ask(line)).toBe('error:AT0401-Exception: Command cannot be executed without auth\n@')
    }
  })
})

describe('one dead, one slow and one nonsense recipient', () => {
  it('delay nobody else, and the slow one gets everything', async () => {
    network = await startTestNetwork(['@alice', '@good', '@slow', '@nonsense', '@reset', '@silent'])
    await network.script('@dead').then((dead) => dead.close())
    const healed = await network.wrap('@nonsense', 'nonsense')
    await network.wrap('@reset', 'reset')
    await network.wrap('@silent', 'silence')
    await network.wrap('@slow', 'slow')
    const alice = network.member('@alice')
    const owner = await alice.owner()
    const [good, slow] = [await network.member('@good').monitor(), await network.member('@slow').monitor()]
    const ids = new Map<string, string>()
    for (const to of ['dead', 'nonsense', 'reset', 'silent', 'slow', 'good']) {
      ids.set(to, idIn(await owner.ask(`notify:@${to}:n.wavi@alice:for ${to}`)))
    }
    expect(await good.values(1)).toEqual(['for good'])
    expect(await slow.values(1)).toEqual(['for slow'])
    await until(async () => (await statusOf(owner, ids.get('slow') ?? '')) === 'delivered')
    for (const to of ['dead', 'nonsense', 'reset', 'silent']) {
      expect(await statusOf(owner, ids.get(to) ?? '')).toBe('queued')
    }
    for (const to of ['@dead', '@nonsense', '@reset']) {
      await until(() =>
        alice.logs.some(({ message, details }) => message === 'delivery waits' && details['recipient'] === to),
      )
    }
    healed()
    const late = await network.member('@nonsense').monitor()
    network.clock.advance(12_000)
    expect(await late.values(1)).toEqual(['for nonsense'])
    await until(() =>
      alice.logs.some(({ message, details }) => message === 'delivery waits' && details['recipient'] === '@silent'),
    )
  })

  it('answer the owner’s lookups with an error each, on a connection that stays', async () => {
    network = await startTestNetwork(['@alice', '@bob'])
    const owner = await network.member('@alice').owner()
    const heal = await network.wrap('@bob', 'nonsense')
    expect(await owner.ask('lookup:x.wavi@bob')).toMatch(/^error:AT00(?:08|11)-/)
    expect(await owner.ask('plookup:x@bob')).toMatch(/^error:AT00(?:08|11)-/)
    heal()
    network.clock.advance(600_000)
    const again = await network.member('@alice').owner()
    await network.wrap('@bob', 'reset')
    expect(await again.ask('lookup:x.wavi@bob')).toMatch(/^error:AT00(?:04|08|21)-/)
    expect(await again.ask('noop:0')).toBe('data:ok\n@alice@')
  })
})
