import { beforeEach, describe, expect, it } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import type { Notification } from '../../src/core/notification.ts'
import { deliveryLine } from '../../src/services/delivery-line.ts'
import { startAlice } from '../support/alice.ts'
import { type Answer, type Member, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

const recent = 'data:{"version":"3.17.0","features":[{"name":"notify.eAtn","status":"GA","description":""}]}\n@alice@'
const longestPause = 12_000

const idOf = (line: string): string => /:id:([^:]+):/.exec(line)?.[1] ?? ''
const valueIn = (line: string): string => line.slice(line.lastIndexOf(':') + 1)

describe('the line that a peer gets', () => {
  const at = Date.UTC(2026, 0, 31, 10)
  const base: Notification = {
    ...{ id: 'n1', from: '@alice', to: '@bob', key: '@bob:phone.wavi@alice', value: 'v' },
    ...{ operation: 'update', messageType: 'key', type: 'sent', priority: 'high', strategy: 'all', latestN: 1 },
    ...{ notifier: 'SYSTEM', at, expiresAt: at + 60_000, status: 'queued', isEncrypted: true, metadata: {} },
  }
  const all = { eAtn: true, basic: false }

  it('has the order of the reference, the remaining life, and what an explicit notify always says', () => {
    expect(deliveryLine(base, at + 50, all)).toBe(
      'notify:id:n1:update:messageType:key:notifier:SYSTEM:ttln:59950:ttl:0:ttb:0:isEncrypted:true:@bob:phone.wavi@alice:v',
    )
  })

  it('never says that no life is left', () => {
    expect(deliveryLine(base, at + 70_000, all)).toContain(':ttln:1:')
  })

  it('carries an expiry that the client chose as it is, to those who read it', () => {
    const own: Notification = { ...base, expiresAt: Date.UTC(2026, 9, 4, 10, 50), explicitExpiry: true }
    expect(deliveryLine(own, at, all)).toContain(':notifier:SYSTEM:eAtn:2026-10-04T10:50:00.000000Z:ttl:0:')
    expect(deliveryLine({ ...own, expiresAt: at + 5_000 }, at, { eAtn: false, basic: false })).toContain(':ttln:5000:')
  })

  it('carries the four times of a record, and leaves them out for peers that know none', () => {
    const announced: Notification = {
      ...{ ...base, notifier: 'system', isEncrypted: false },
      metadata: {
        ...{ ttr: 100_000, ccd: true, createdAt: at, updatedAt: at + 1, expiresAt: at + 2, availableAt: at + 3 },
        ...{
          pubKeyCS: 'cs',
          pubKeyHash: 'h',
          hashingAlgo: 'sha256',
          ivNonce: 'iv',
          immutable: true,
          appMetadata: 'e30=',
        },
        ...{ isBinary: true, encoding: 'base64', dataSignature: 'sig', version: 3, refreshAt: at },
      },
    }
    expect(deliveryLine(announced, at, all)).toBe(
      'notify:id:n1:update:messageType:key:notifier:system:ttln:60000:ttr:100000:ccd:true' +
        ':cAt:2026-01-31T10:00:00.000000Z:uAt:2026-01-31T10:00:00.001000Z' +
        ':eAt:2026-01-31T10:00:00.002000Z:aAt:2026-01-31T10:00:00.003000Z' +
        ':isEncrypted:false:pubKeyCS:cs:pubKeyHash:h:hashingAlgo:sha256:ivNonce:iv:immutable:true:appMetadata:e30=' +
        ':@bob:phone.wavi@alice:v',
    )
    expect(deliveryLine(announced, at, { eAtn: true, basic: true })).toBe(
      'notify:id:n1:update:messageType:key:notifier:system:ttln:60000:ttr:100000:ccd:true' +
        ':isEncrypted:false:pubKeyCS:cs:ivNonce:iv:@bob:phone.wavi@alice:v',
    )
  })
})

describe('delivery', () => {
  let network: TestNetwork
  let alice: Member
  let owner: Client
  let rested: number

  beforeEach(async () => {
    rested = 0
    ;({ network, alice, owner } = await startAlice())
  })

  /** Each value is about a key of its own, unless the key is told. */
  const send = async (to: string, value: string, options = '', key = value.replaceAll(' ', '')): Promise<string> => {
    const reply = await owner.ask(`notify:${options}@${to}:${key}.wavi@alice:${value}`)
    return /^data:([^\n]+)\n@alice@$/.exec(reply)?.[1] ?? reply
  }
  const status = (id: string): Promise<string> => owner.ask(`notify:status:${id}`)
  const isSettled = async (id: string, as: string): Promise<boolean> => (await status(id)) === `data:${as}\n@alice@`

  const pauses = (): number => alice.logs.filter(({ message }) => message === 'delivery waits').length
  /** Waits until an attempt has failed and delivery rests. */
  const rest = async (): Promise<void> => {
    await until(() => pauses() > rested)
    rested = pauses()
  }
  /** Lets pauses pass as they come, until a notification has a status. */
  const patiently = async (id: string, as: string): Promise<void> => {
    for (;;) {
      await until(async () => pauses() > rested || (await isSettled(id, as)))
      if (await isSettled(id, as)) return
      rested = pauses()
      network.clock.advance(longestPause)
    }
  }

  it('announces an update and a delete of a shared record in the words of the reference', async () => {
    const bob = await network.script('@bob')
    await owner.ask('update:ttr:100000:ccd:true:@bob:delkey@alice v')
    await until(() => bob.linesWith('notify:').length === 1)
    await owner.ask('delete:dAt:2023-05-05T11:59:44.123000Z:@bob:delkey@alice')
    await until(() => bob.linesWith('notify:').length === 2)
    const now = new Date(network.clock.now()).toISOString().replace('Z', '000Z')
    const lines = bob.linesWith('notify:').map((line) => line.replace(/id:[0-9a-f-]{36}/, 'id:<id>'))
    expect(lines).toEqual([
      `notify:id:<id>:update:messageType:key:notifier:system:ttln:900000:ttr:100000:ccd:true:cAt:${now}:uAt:${now}:isEncrypted:false:@bob:delkey@alice:v`,
      'notify:id:<id>:delete:messageType:key:notifier:system:ttln:900000:uAt:2023-05-05T11:59:44.123000Z:@bob:delkey@alice',
    ])
  })

  it('sends the newest few of a notifier when the peer is back, and says that the others have expired', async () => {
    const bob = await network.script('@bob')
    await bob.close()
    const ids: string[] = []
    for (const value of ['1', '2', '3', '4']) {
      ids.push(await send('bob', value, 'strategy:latest:latestN:2:notifier:loc:', 'location'))
      network.clock.advance(1)
    }
    await rest()
    const back = await network.script('@bob')
    network.clock.advance(longestPause)
    await patiently(ids[3] ?? '', 'delivered')
    expect(back.linesWith('notify:').map(valueIn)).toEqual(['3', '4'])
    expect((await Promise.all(ids.map(status))).map((reply) => reply.slice(5, reply.indexOf('\n')))).toEqual([
      'expired',
      'expired',
      'delivered',
      'delivered',
    ])
  })

  it('does not send what is removed while it waits behind others', async () => {
    let goOn = (): void => {}
    const gate = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const bob = await network.script('@bob', async (line, { usual }) => {
      if (valueIn(line) === 'first') await gate
      return usual()
    })
    await send('bob', 'first', '', 'k')
    const removed = await send('bob', 'removed', '', 'k')
    const last = await send('bob', 'last', '', 'k')
    await until(() => bob.linesWith('notify:').length === 1)
    expect(await owner.ask(`notify:remove:${removed}`)).toBe('data:success\n@alice@')
    goOn()
    await until(() => isSettled(last, 'delivered'))
    expect(bob.linesWith('notify:').map(valueIn)).toEqual(['first', 'last'])
  })

  it('does not announce what is shared with oneself, cached or public', async () => {
    const bob = await network.script('@bob')
    await owner.ask('update:@alice:own.wavi@alice v')
    await owner.ask('update:public:open.wavi@alice v')
    const id = await send('bob', 'last')
    await until(() => isSettled(id, 'delivered'))
    expect(bob.linesWith('notify:').map(valueIn)).toEqual(['last'])
  })

  it('sends the life that is left', async () => {
    await network.script('@bob', () => undefined).then((peer) => peer.close())
    const id = await send('bob', 'v', 'ttln:60000:')
    await rest()
    const bob = await network.script('@bob')
    network.clock.advance(longestPause)
    await until(() => isSettled(id, 'delivered'))
    expect(bob.linesWith('notify:')[0]).toContain(`:ttln:${60_000 - longestPause}:`)
  })

  it('tries again with pauses that grow to ten seconds, as long as the peer is away', async () => {
    const bob = await network.script('@bob')
    await bob.close()
    const id = await send('bob', 'at last')
    for (const longest of [0.24, 0.39, 0.63, 1.02, 1.65, 2.67, 4.31, 6.98, 11.3, 12, 12]) {
      await rest()
      expect(await status(id)).toBe('data:queued\n@alice@')
      network.clock.advance(longest * 1_000)
    }
    await rest()
    const back = await network.script('@bob')
    network.clock.advance(longestPause)
    await until(() => isSettled(id, 'delivered'))
    expect(back.linesWith('notify:').map(valueIn)).toEqual(['at last'])
  })

  it('finds a peer again that moved to another port', async () => {
    await network.script('@bob')
    const here = await send('bob', 'here')
    await until(() => isSettled(here, 'delivered'))
    const moved = await network.script('@bob')
    const id = await send('bob', 'there')
    await until(() => isSettled(id, 'delivered'))
    expect(moved.linesWith('notify:').map(valueIn)).toEqual(['there'])
  })

  it('has several notifications in flight where the peer answers pipelined lines', async () => {
    await network.script('@bob').then((peer) => peer.close())
    const values = Array.from({ length: limits.deliveryWindow + 40 }, (_, index) => `r${index}`)
    const ids = await Promise.all(values.map((value) => send('bob', value)))
    await rest()
    // The first one is answered once the window is full.
    const bob = await network.script('@bob', async (line, { usual }) => {
      if (line === 'info:brief') return recent
      if (valueIn(line) === 'r0') await until(() => bob.maxUnread() === limits.deliveryWindow)
      return usual()
    })
    network.clock.advance(longestPause)
    await until(() => isSettled(ids.at(-1) ?? '', 'delivered'))
    expect(bob.linesWith('notify:').map(valueIn)).toEqual(values)
    expect(bob.maxUnread()).toBe(limits.deliveryWindow)
    expect(bob.linesWith('info:brief')).toHaveLength(1)
    expect(bob.linesWith('from:')).toHaveLength(1)
  })

  it('sends one line at a time to servers that take two lines at once for one', async () => {
    const bob = await network.script('@bob', async (_line, { usual }) => {
      await new Promise((resolve) => setImmediate(resolve))
      return usual()
    })
    const ids = await Promise.all(['a', 'b', 'c', 'd'].map((value) => send('bob', value)))
    await until(() => isSettled(ids.at(-1) ?? '', 'delivered'))
    expect(bob.linesWith('notify:').map(valueIn)).toEqual(['a', 'b', 'c', 'd'])
    expect(bob.maxUnread()).toBe(1)
  })

  it('marks what the peer refuses for good, and goes on with what is behind it', async () => {
    const refusals: Record<string, string> = {
      r1: 'error:AT0009-Exception: not you',
      r2: 'error:AT0003-Exception: invalid command',
      r3: 'error:AT0016-Exception: bad key',
    }
    const answer: Answer = (line, { usual }) => {
      const refusal = line.startsWith('notify:') ? refusals[valueIn(line)] : undefined
      return refusal === undefined ? usual() : `${refusal}\n@alice@`
    }
    const bob = await network.script('@bob', answer)
    const ids = await Promise.all(['r0', 'r1', 'r2', 'r3', 'r4'].map((value) => send('bob', value)))
    await until(() => isSettled(ids[4] ?? '', 'delivered'))
    expect(await Promise.all(ids.map(status))).toEqual(
      ['delivered', 'errored', 'errored', 'errored', 'delivered'].map((word) => `data:${word}\n@alice@`),
    )
    expect(bob.linesWith('notify:').map(valueIn)).toEqual(['r0', 'r1', 'r2', 'r3', 'r4'])
  })

  it('keeps what the peer cannot take now, without holding up what is behind it', async () => {
    let busy = true
    await network.script('@bob', (line, { usual }) =>
      busy && valueIn(line) === 'first' ? 'error:AT0011-Exception: out of memory\n@alice@' : usual(),
    )
    const [first, second] = await Promise.all([send('bob', 'first'), send('bob', 'second')])
    await until(() => isSettled(second, 'delivered'))
    expect(await status(first)).toBe('data:queued\n@alice@')
    busy = false
    await patiently(first, 'delivered')
  })

  it('never lets a later value of a key arrive before an earlier one', async () => {
    let busy = true
    const bob = await network.script('@bob', (line, { usual }) => {
      if (line === 'info:brief') return recent
      return busy && valueIn(line) === 'old' ? 'error:AT0011-Exception: not now\n@alice@' : usual()
    })
    const ids = [
      ...[await send('bob', 'first', '', 'k'), await send('bob', 'old', '', 'k'), await send('bob', 'new', '', 'K')],
      await send('bob', 'other'),
    ]
    await until(() => isSettled(ids[3] ?? '', 'delivered'))
    expect(await status(ids[2] ?? '')).toBe('data:queued\n@alice@')
    busy = false
    await patiently(ids[2] ?? '', 'delivered')
    const ofKey = bob
      .linesWith('notify:')
      .map(valueIn)
      .filter((value) => value !== 'other')
    expect(ofKey.slice(0, 2)).toEqual(['first', 'old'])
    expect(ofKey.slice(-2)).toEqual(['old', 'new'])
    expect(ofKey.filter((value) => value === 'new')).toHaveLength(1)
  })

  it('keeps texts in order as well', async () => {
    let busy = true
    const bob = await network.script('@bob', (line, { usual }) => {
      if (line === 'info:brief') return recent
      return busy && line.endsWith('One') ? 'error:AT0011-Exception: not now\n@alice@' : usual()
    })
    for (const text of ['One', 'Two', 'Three']) await owner.ask(`notify:id:${text}:messageType:text:@bob:${text}`)
    await rest()
    busy = false
    network.clock.advance(longestPause)
    await patiently('Three', 'delivered')
    const texts = bob.linesWith('notify:').map((line) => line.slice(line.lastIndexOf(':') + 1))
    expect(texts.slice(-3)).toEqual(['One', 'Two', 'Three'])
  })

  it('sends what comes while something else has to wait', async () => {
    await network.script('@bob', (line, { usual }) =>
      valueIn(line) === 'never' ? 'error:AT0011-Exception: not now\n@alice@' : usual(),
    )
    await send('bob', 'never')
    await rest()
    for (const value of ['a', 'b', 'c']) {
      const id = await send('bob', value)
      await until(() => isSettled(id, 'delivered'))
    }
  })

  it('says it once more without times to a peer that does not know them', async () => {
    const bob = await network.script('@bob', (line, { usual }) =>
      /:[cue]At:|:eAtn:/.test(line) ? 'error:AT0003-Exception: Invalid syntax.\n@alice@' : usual(),
    )
    await owner.ask('update:@bob:old.wavi@alice v')
    await until(() => bob.linesWith('notify:').length === 2)
    const [refused = '', taken = ''] = bob.linesWith('notify:')
    expect(idOf(taken)).toBe(idOf(refused))
    await until(() => isSettled(idOf(taken), 'delivered'))
  })

  it('gives an expiry of its own to servers that list it, and the remaining life to others', async () => {
    const until2027 = 'eAtn:2026-02-01T00:00:00.000000Z'
    const young = await network.script('@bob', (line, { usual }) => (line === 'info:brief' ? recent : usual()))
    const first = await send('bob', 'v', `${until2027}:`)
    await until(() => isSettled(first, 'delivered'))
    expect(young.linesWith('notify:')[0]).toContain(`:${until2027}:`)
    const old = await network.script('@bob')
    const second = await send('bob', 'v', `${until2027}:`)
    await until(() => isSettled(second, 'delivered'))
    expect(old.linesWith('notify:')[0]).toContain(`:ttln:${Date.UTC(2026, 1, 1) - network.clock.now()}:`)
  })

  it('drops what has expired, and says so', async () => {
    const bob = await network.script('@bob')
    await bob.close()
    const short = await send('bob', 'short', 'ttln:5000:')
    const long = await send('bob', 'long', 'ttln:600000:')
    await rest()
    const back = await network.script('@bob')
    network.clock.advance(6_000)
    await until(() => isSettled(long, 'delivered'))
    expect(await status(short)).toBe('data:expired\n@alice@')
    expect(back.linesWith('notify:').map(valueIn)).toEqual(['long'])
  })

  it('keeps what waits while the directory has lost its table', async () => {
    const bob = await network.script('@bob')
    const address = network.table.get('@bob') ?? ''
    network.table.remove('@bob')
    const id = await send('bob', 'v')
    await until(() => {
      network.clock.advance(50)
      return alice.logs.some(({ message }) => message.startsWith('the directory does not know a recipient'))
    })
    expect(await status(id)).toBe('data:queued\n@alice@')
    network.table.set('@bob', address)
    await until(() => {
      network.clock.advance(20)
      return isSettled(id, 'delivered')
    })
    expect(bob.linesWith('notify:')).toHaveLength(1)
  })

  it('keeps what waits while the directory is away', async () => {
    const bob = await network.script('@somebody')
    await network.stopDirectory()
    const id = await send('somebody', 'v')
    // Three questions to the directory, a little apart.
    await until(() => {
      network.clock.advance(50)
      return network.refusals() === 3
    })
    await rest()
    expect(await status(id)).toBe('data:queued\n@alice@')
    await network.startDirectory()
    network.clock.advance(longestPause)
    await patiently(id, 'delivered')
    expect(bob.linesWith('notify:')).toHaveLength(1)
  })

  it('does not hammer a peer that hangs up on every notification', async () => {
    const bob = await network.script('@bob', (line, { usual, end }) => {
      if (!line.startsWith('notify:')) return usual()
      end()
      return undefined
    })
    const ids = await Promise.all(Array.from({ length: 30 }, (_, index) => send('bob', `h${index}`)))
    await rest()
    const attempts = bob.linesWith('from:').length
    expect(attempts).toBe(1)
    await network.script('@bob')
    network.clock.advance(longestPause)
    await until(() => isSettled(ids.at(-1) ?? '', 'delivered'))
  })

  it('sends the others first once one notification has broken the connection three times', async () => {
    const bob = await network.script('@bob', (line, { usual, end }) => {
      if (valueIn(line) !== 'poison') return usual()
      end()
      return undefined
    })
    const poison = await send('bob', 'poison')
    const others = await Promise.all(['a', 'b', 'c'].map((value) => send('bob', value)))
    await patiently(others.at(-1) ?? '', 'delivered')
    expect(bob.linesWith('notify:').map(valueIn)).toEqual(expect.arrayContaining(['a', 'b', 'c']))
    expect(await status(poison)).toBe('data:queued\n@alice@')
    await network.script('@bob')
    await patiently(poison, 'delivered')
  })
})
