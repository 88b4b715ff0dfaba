import { beforeAll, describe, expect, test } from 'vitest'
import { asOwner, asPeer, type Client, connectServers, startServer, type TestServer } from '../support/server.ts'

// `eph`: neither server stores it (page 06, section 3; page 07, section 15).

let alice: TestServer
let bob: TestServer
let owner: Client
let theirs: Client
const written: Record<string, number> = { alice: 0, bob: 0 }
const counting = (name: string) => ({
  aroundBatch: (write: () => Promise<void>, operations: readonly unknown[]) => {
    written[name] = (written[name] ?? 0) + operations.length
    return write()
  },
})
beforeAll(async () => {
  alice = await startServer({ seams: counting('alice') })
  bob = await startServer({ atSign: '@bob', seams: counting('bob') })
  connectServers(alice, bob)
  owner = await asOwner(alice)
  theirs = await asOwner(bob)
})

/** The next notification of a monitor. */
const shown = async (monitor: Client): Promise<Record<string, unknown>> =>
  JSON.parse((await monitor.line()).slice('notification: '.length))

test('a thousand readings reach a peer’s monitor, and not one row is written on either side', async () => {
  theirs.write('monitor:strict\n')
  // The session between the two servers is there before anything is counted.
  await owner.ask('notify:id:warm:eph:@bob:reading.sensors@alice:0')
  expect((await shown(theirs))['id']).toBe('warm')
  const before = { ...written }
  for (let index = 1; index <= 1_000; index++) {
    owner.write(`notify:id:r${index}:isEncrypted:false:eph:@bob:reading.sensors@alice:${index}\n`)
  }
  for (let index = 1; index <= 1_000; index++) {
    expect(await owner.reply()).toBe(`data:r${index}\n@alice@`)
    expect(await shown(theirs)).toMatchObject({
      id: `r${index}`,
      value: String(index),
      key: '@bob:reading.sensors@alice',
    })
  }
  await owner.ask('notify:multi:eph:@bob,@alice:reading.sensors@alice:last')
  expect((await shown(theirs))['value']).toBe('last')
  expect(await owner.ask('notify:status:r500')).toBe('data:delivered\n@alice@')
  expect(written).toEqual(before)
  // The count is one that sees writes.
  await owner.ask('notify:@bob:reading.sensors@alice:stored')
  expect((await shown(theirs))['value']).toBe('stored')
  expect(written['alice']).toBeGreaterThan(before['alice'] ?? 0)
  expect(written['bob']).toBeGreaterThan(before['bob'] ?? 0)
})

describe('while it lives it is seen', () => {
  test('by list, status, fetch and a monitor that comes later; after two minutes by none', async () => {
    const server = await startServer()
    const client = await asOwner(server)
    await client.ask('notify:id:own:eph:@alice:x.wavi@alice:v')
    expect(await client.ask('notify:list')).toContain('"id":"own"')
    expect(await client.ask('notify:status:own')).toBe('data:delivered\n@alice@')
    expect(await client.ask('notify:fetch:own')).toContain('"notificationStatus":"NotificationStatus.delivered"')
    const monitor = await asOwner(server)
    monitor.write('monitor:strict:0\n')
    expect((await shown(monitor))['id']).toBe('own')
    server.clock.advance(120_001)
    expect(await client.ask('notify:list')).toBe('data:[]\n@alice@')
    expect(await client.ask('notify:status:own')).toBe('data:null\n@alice@')
    const late = await asOwner(server)
    late.write('monitor:strict:0\nnoop:0\n')
    expect(await late.line()).toBe('data:ok\n')
  })
})

describe('beside one that is on its way to flash', () => {
  /** An atServer whose flash can be held up. */
  async function slowDevice() {
    let flash = Promise.resolve()
    let onWrite = (): void => {}
    const device = await startServer({
      seams: {
        async aroundBatch(write) {
          onWrite()
          await flash
          await write()
        },
      },
    })
    connectServers(device, bob)
    const monitor = await asOwner(device)
    monitor.write('monitor:strict ^@alice:race\n')
    /** Has writes wait; `reached` resolves with the first of them. */
    const holdUp = () => {
      const reached = new Promise<void>((resolve) => {
        onWrite = resolve
      })
      let end = (_failure?: Error): void => {}
      flash = new Promise<void>((resolve, reject) => {
        end = (failure) => {
          flash = Promise.resolve()
          if (failure === undefined) resolve()
          else reject(failure)
        }
      })
      return { reached, end: (failure?: Error) => end(failure) }
    }
    return { device, monitor, holdUp }
  }
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
  }

  test.each(['@bob', '@alice'])('of %s comes behind it, so that a monitor that resumes misses nothing', async (who) => {
    const { device, monitor, holdUp } = await slowDevice()
    const sender = who === '@bob' ? await asPeer(device, bob) : await asOwner(device)
    const { reached, end } = holdUp()
    sender.write(`notify:id:stored:@alice:race.sensors${who}:1\n`)
    await reached
    device.clock.advance(5)
    sender.write(`notify:id:quick:eph:@alice:race.sensors${who}:2\n`)
    await turns()
    device.clock.advance(5)
    sender.write(`notify:id:later:@alice:race.sensors${who}:3\n`)
    await turns()
    end()
    const seen = [await shown(monitor), await shown(monitor), await shown(monitor)]
    expect(seen.map(({ id }) => id)).toEqual(['stored', 'quick', 'later'])
    const times = seen.map(({ epochMillis }) => Number(epochMillis))
    expect(times.map((time) => time - (times[0] ?? 0))).toEqual([0, 5, 10])
  })

  test('is shown although that one fails', async () => {
    const { device, monitor, holdUp } = await slowDevice()
    const [one, other] = [await asOwner(device), await asOwner(device)]
    const { reached, end } = holdUp()
    one.write('notify:id:lost:@alice:race.sensors@alice:1\n')
    await reached
    other.write('notify:id:kept:eph:@alice:race.sensors@alice:2\n')
    await turns()
    end(new Error('the card is gone'))
    expect((await shown(monitor))['id']).toBe('kept')
    expect(await other.reply()).toBe('data:kept\n@alice@')
    expect(await one.reply()).toMatch(/^error:AT0002-/)
    expect(await other.ask('notify:id:after:eph:@alice:race.sensors@alice:3')).toBe('data:after\n@alice@')
    expect((await shown(monitor))['id']).toBe('after')
    // The failure is in the log.
    expect(device.faults.splice(0)).toEqual([expect.stringContaining('the card is gone')])
  })
})

describe('from a peer', () => {
  let peer: Client
  let monitor: Client
  beforeAll(async () => {
    peer = await asPeer(alice, bob)
    monitor = await asOwner(alice)
    monitor.write('monitor:strict\n')
  })
  const success = 'data:success\n@bob@'

  test('twice is shown once, and nothing is written (page 07, E49)', async () => {
    const before = { ...written }
    for (let count = 0; count < 2; count++) {
      expect(
        await peer.ask('notify:id:n5:update:messageType:key:notifier:system:ttln:60000:eph:@alice:phone.wavi@bob:v'),
      ).toBe(success)
    }
    expect(await peer.ask('notify:id:n6:eph:@alice:phone.wavi@bob:v')).toBe(success)
    expect([(await shown(monitor))['id'], (await shown(monitor))['id']]).toEqual(['n5', 'n6'])
    expect(written['alice']).toBe(before['alice'])
  })

  test.each([
    ['notify:eph:ttr:60000:@alice:phone.wavi@bob:v', 'eph does not take ttr'],
    ['notify:eph:ccd:true:@alice:phone.wavi@bob:v', 'eph does not take ccd'],
    ['notify:delete:eph:@alice:phone.wavi@bob', 'eph does not take delete'],
  ])('%s is refused', async (line, reason) => {
    expect(await peer.ask(line)).toBe(`error:AT0003-Exception: ${reason}\n@`)
  })
})

describe('what it does not take (page 07, E40 to E45)', () => {
  test.each([
    ['notify:eph:ttr:60000:@bob:phone.wavi@alice:v', 'eph does not take ttr'],
    ['notify:eph:ttr:0:@bob:phone.wavi@alice:v', 'eph does not take ttr'],
    ['notify:eph:ccd:true:@bob:phone.wavi@alice:v', 'eph does not take ccd'],
    ['notify:eph:ccd:false:@bob:phone.wavi@alice:v', 'eph does not take ccd'],
    ['notify:delete:eph:@bob:phone.wavi@alice', 'eph does not take delete'],
    [
      'notify:ttln:60000:eAtn:2026-10-04T10:50:00.000Z:eph:@bob:phone.wavi@alice:v',
      'eAtn and ttln cannot both be given',
    ],
    [
      'notify:multi:eph:eAtn:2026-10-04T10:50:00.000Z:ttln:1:@bob:phone.wavi@alice:v',
      'eAtn and ttln cannot both be given',
    ],
  ])('%s', async (line, reason) => {
    expect(await owner.ask(line)).toBe(`error:AT0003-Invalid syntax : ${reason}\n@alice@`)
  })

  test('an expiry in the past, which is accepted and dropped (page 07, E46)', async () => {
    expect(await owner.ask('notify:id:past:eAtn:2020-01-01T00:00:00Z:eph:@bob:x.wavi@alice:v')).toBe(
      'data:past\n@alice@',
    )
    expect(await owner.ask('notify:status:past')).toBe('data:null\n@alice@')
  })
})
