import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt from 'mqtt'
import { describe, expect, onTestFinished, test } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import { listenTcp } from '../../src/net/listen-tcp.ts'
import { closed, fakeClient, gate, handClock, journal, packet, sensor, startWorld } from './world.ts'

const temperature = {
  topic: 'zigbee2mqtt/+device',
  key: 'temperature.{device}',
  value: '$.temperature',
  unit: '°C',
}

const reading = '{"value":21.4,"unit":"°C","time":"2026-11-20T12:00:00.000Z"}'

describe('a message becomes records', () => {
  test('of every recipient of the rule', async () => {
    const { client, done } = fakeClient()
    const recipients = ['self', 'public', '@alice']
    const { url, bridge } = await startWorld({ rules: [{ ...temperature, recipients, ttl: 60_000, ttr: -1 }], client })
    const device = await sensor(url)
    await device.publishAsync('zigbee2mqtt/Living Room', '{"temperature":21.4,"linkquality":90}', { qos: 1 })
    const options = { ttl: 60_000, ttr: -1 }
    expect(done.entries).toEqual([
      { verb: 'put', key: 'temperature.living_room.sensors', value: reading, options },
      { verb: 'put', key: 'public:temperature.living_room.sensors', value: reading, options },
      { verb: 'put', key: '@alice:temperature.living_room.sensors', value: reading, options },
    ])
    expect(bridge.stats()).toMatchObject({ received: 1, committed: 1, ignored: 0, refused: 0, failed: 0, clients: 1 })
  })

  test.each([
    [{ update: true, notify: true }, true, ['put @alice', 'put self']],
    [{ update: true, notify: true }, false, ['put @alice', 'put self', 'notify @alice']],
    [{ update: true, notify: false }, false, ['put @alice', 'put self']],
    [{ update: false, notify: true, recipients: ['@alice'] }, true, ['notify @alice']],
  ])('and notifications: %j with autoNotify %j', async (delivery, autoNotify, expected) => {
    const { client, done } = fakeClient()
    const rules = [{ topic: 'a', key: 'a', format: 'raw' as const, recipients: ['@alice', 'self'], ...delivery }]
    const { url } = await startWorld({ rules, client, autoNotify })
    const device = await sensor(url)
    await device.publishAsync('a', '7', { qos: 1 })
    const seen = done.entries.map(({ verb, key }) => `${verb} ${key.startsWith('@') ? '@alice' : 'self'}`)
    expect(seen.sort()).toEqual([...expected].sort())
    expect(new Set(done.entries.map(({ value }) => value))).toEqual(new Set(['7']))
  })

  test.each([
    [{ durability: 'interval' as const }, { durability: 'interval' }],
    [
      { durability: 'group' as const, ttl: 5000, ttr: -1 },
      { durability: 'group', ttl: 5000, ttr: -1 },
    ],
    [{ update: false, notify: true, durability: 'interval' as const }, { durability: 'interval' }],
    [
      { update: false, notify: 'ephemeral' as const, ttl: 5000 },
      { ephemeral: true, ttln: 5000 },
    ],
  ])('as the rule says: %j', async (delivery, options) => {
    const { client, done } = fakeClient()
    const rules = [{ topic: 'a', key: 'a', recipients: ['@alice'], ...delivery }]
    const { url } = await startWorld({ rules, client })
    const device = await sensor(url)
    await device.publishAsync('a', '7', { qos: 1 })
    expect(done.entries.map((entry) => entry.options)).toEqual([options])
  })

  test.each([
    [0, undefined, 'interval'],
    [0, 'group', 'group'],
    [1, undefined, undefined],
    [1, 'interval', 'interval'],
    [2, undefined, undefined],
  ] as const)('with QoS %d in a rule of durability %j: %j', async (qos, durability, expected) => {
    const { client, done } = fakeClient()
    const rules = [{ topic: 'a', key: 'a', ...(durability === undefined ? {} : { durability }) }]
    const { url } = await startWorld({ rules, client, unacknowledged: 'interval' })
    const device = await sensor(url)
    await device.publishAsync('a', '7', { qos })
    await done.reach(1)
    expect(done.entries[0]?.options).toEqual(expected === undefined ? {} : { durability: expected })
  })

  test('by every rule that takes it, and by none without a word of complaint', async () => {
    const { client, done } = fakeClient()
    const humidity = { ...temperature, key: 'humidity.{device}', value: '$.humidity', unit: '%' }
    const { url, bridge, log } = await startWorld({ rules: [temperature, humidity], client })
    const device = await sensor(url)
    await device.publishAsync('zigbee2mqtt/a', '{"temperature":1,"humidity":2}', { qos: 1 })
    await device.publishAsync('elsewhere', 'x', { qos: 2 })
    expect(done.entries.map(({ key }) => key)).toEqual(['temperature.a.sensors', 'humidity.a.sensors'])
    expect(bridge.stats()).toMatchObject({ received: 2, committed: 2, ignored: 1 })
    expect(log.entries).toEqual([])
  })

  test('unless the policy leaves it out', async () => {
    const clock = handClock()
    const { client, done } = fakeClient()
    const rules = [{ topic: 'a', key: 'a', format: 'raw' as const, minInterval: 1_000 }]
    const { url, bridge } = await startWorld({ rules, client, clock })
    const device = await sensor(url)
    await device.publishAsync('a', '1', { qos: 1 })
    await device.publishAsync('a', '2', { qos: 1 })
    clock.advance(1_000)
    await device.publishAsync('a', '3', { qos: 1 })
    expect(done.entries.map(({ value }) => value)).toEqual(['1', '3'])
    expect(bridge.stats()).toMatchObject({ received: 3, committed: 2, suppressed: 1 })
  })

  test('and still reaches ordinary MQTT subscribers', async () => {
    const { client, done } = fakeClient()
    const { url } = await startWorld({ rules: [temperature], client })
    const home = await sensor(url)
    const heard = journal<string>()
    home.on('message', (topic, payload) => heard.add(`${topic} ${payload.toString()} after ${done.entries.length}`))
    await home.subscribeAsync('#', { qos: 1 })
    const device = await sensor(url)
    await device.publishAsync('zigbee2mqtt/a', '{"temperature":3}', { qos: 1 })
    await device.publishAsync('other', 'x', { qos: 0 })
    await heard.reach(2)
    expect(heard.entries).toEqual(['zigbee2mqtt/a {"temperature":3} after 1', 'other x after 1'])
  })
})

describe('acknowledgement', () => {
  test.each([
    [1, 'puback'],
    [2, 'pubrec'],
  ] as const)('of QoS %i comes after the commit', async (qos, acknowledgement) => {
    const commit = gate()
    const { client, started } = fakeClient(() => commit.passed)
    const { url } = await startWorld({ rules: [temperature], client })
    const device = await sensor(url)
    const seen: string[] = []
    device.on('packetreceive', ({ cmd }) => seen.push(cmd))
    const acknowledged = packet(device, acknowledgement)
    const published = device.publishAsync('zigbee2mqtt/a', '{"temperature":3}', { qos })
    await started.reach(1)
    // The broker answers other packets of the same connection meanwhile.
    await device.subscribeAsync('x')
    expect(seen).toEqual(['suback'])
    commit.open()
    await acknowledged
    await published
    expect(seen.slice(0, 2)).toEqual(['suback', acknowledgement])
  })

  test('keeps the order of the messages, although the commits end in another', async () => {
    const slow = gate()
    const { client, done } = fakeClient(({ key }) => (key === 'a.sensors' ? slow.passed : undefined))
    const { url } = await startWorld({ rules: [{ topic: '+name', key: '{name}' }], client })
    const device = await sensor(url)
    const order: string[] = []
    const send = (topic: string) => device.publishAsync(topic, '1', { qos: 1 }).then(() => order.push(topic))
    const sent = [send('a'), send('b'), send('c')]
    await done.reach(2)
    slow.open()
    await Promise.all(sent)
    expect(done.entries.map(({ key }) => key)).toEqual(['b.sensors', 'c.sensors', 'a.sensors'])
    expect(order).toEqual(['a', 'b', 'c'])
  })

  test('is withheld when the store fails; the sensor is dropped, sends again, and the reading is stored once', async () => {
    let healthy = false
    const { client, started, done } = fakeClient(() => {
      if (!healthy) throw new AtError('AT0002', 'disk full')
    })
    const { url, bridge, log } = await startWorld({ rules: [temperature], client })
    const device = await sensor(url, { reconnectPeriod: 1 })
    let acknowledgements = 0
    device.on('packetreceive', ({ cmd }) => {
      if (cmd === 'puback') acknowledgements++
    })
    const dropped = closed(device).then(() => {
      healthy = true
      return acknowledgements
    })
    await device.publishAsync('zigbee2mqtt/a', '{"temperature":21.4}', { qos: 1 })
    expect(await dropped).toBe(0)
    expect(acknowledgements).toBe(1)
    expect(started.entries.length).toBeGreaterThanOrEqual(2)
    expect(done.entries).toHaveLength(1)
    expect(bridge.stats()).toMatchObject({ committed: 1, failed: started.entries.length - 1 })
    expect(log.entries).toContain('a reading could not be stored')
  })

  test('is withheld when one recipient of several failed; sent again, the message reaches nobody twice', async () => {
    let healthy = false
    const { client, done } = fakeClient(({ key, verb }) => {
      if (!healthy && key.startsWith('@bob') && verb === 'notify') throw new AtError('AT0006', 'the outbox is full')
    })
    const rule = { ...temperature, recipients: ['@alice', '@bob'], update: true, notify: true }
    const { url } = await startWorld({ rules: [rule], client, autoNotify: false })
    const device = await sensor(url, { reconnectPeriod: 1 })
    void closed(device).then(() => {
      healthy = true
    })
    const send = () => device.publishAsync('zigbee2mqtt/a', '{"temperature":21.4}', { qos: 1 })
    await send()
    const writes = () => done.entries.map(({ verb, key }) => `${verb} ${key.replace(/:.*/, '')}`).sort()
    const once = ['notify @alice', 'notify @bob', 'put @alice', 'put @bob']
    expect(writes()).toEqual(once)
    await send()
    expect(writes()).toEqual([...once, ...once].sort())
  })

  test('of a message of QoS 0 does not exist, so its sensor keeps its connection when the store fails', async () => {
    const { client } = fakeClient(() => {
      throw new AtError('AT0002', 'disk full')
    })
    const { url, bridge, log } = await startWorld({ rules: [temperature], client })
    const device = await sensor(url)
    await device.publishAsync('zigbee2mqtt/a', '{"temperature":1}', { qos: 0 })
    await log.reach(1)
    await device.subscribeAsync('x')
    expect(bridge.stats()).toMatchObject({ failed: 1, clients: 1 })
  })

  test('of readings that a failing store does not take is told once a minute', async () => {
    const clock = handClock()
    const { client, started } = fakeClient(() => {
      throw new AtError('AT0002', 'disk full')
    })
    const { url, bridge, log } = await startWorld({ rules: [temperature], client, clock })
    const device = await sensor(url)
    const send = async (readings: number): Promise<void> => {
      for (let count = 0; count < readings; count++)
        await device.publishAsync('zigbee2mqtt/a', '{"temperature":1}', { qos: 0 })
    }
    await send(5)
    await started.reach(5)
    await device.subscribeAsync('x')
    expect(bridge.stats().failed).toBe(5)
    expect(log.entries).toEqual(['a reading could not be stored'])
    clock.advance(60_000)
    await send(1)
    await log.reach(2)
  })

  test('is given for payloads that no rule can use; they are logged once a minute', async () => {
    const clock = handClock()
    const { client, done } = fakeClient()
    const { url, bridge, log } = await startWorld({ rules: [temperature], client, clock })
    const device = await sensor(url)
    const bad = ['{', '{"x":1}', Buffer.from([0x22, 0xff, 0x22]), 'x'.repeat(65_537), '']
    for (const payload of bad) await device.publishAsync('zigbee2mqtt/a', payload, { qos: 1 })
    expect(log.entries).toEqual(['rule 1 (zigbee2mqtt/+device) cannot use a message of zigbee2mqtt/a: it is not JSON'])
    clock.advance(60_000)
    await device.publishAsync('zigbee2mqtt/a', '{"x":1}', { qos: 1 })
    expect(log.entries[1]).toMatch(/it has no \$\.temperature$/)
    expect(bridge.stats()).toMatchObject({ received: 6, refused: 6, failed: 0, committed: 0 })
    expect(done.entries).toEqual([])
  })

  test('is given for readings that the server will never take', async () => {
    const { client } = fakeClient(() => {
      throw new AtError('AT0016', 'characters that a name may not have')
    })
    const { url, bridge, log } = await startWorld({ rules: [temperature], client })
    const device = await sensor(url)
    await device.publishAsync('zigbee2mqtt/a', '{"temperature":1}', { qos: 1 })
    expect(bridge.stats()).toMatchObject({ refused: 1, failed: 0 })
    expect(log.entries).toEqual(['temperature.a.sensors: characters that a name may not have'])
  })
})

describe('writes', () => {
  test('of one key follow each other, of different keys run side by side', async () => {
    const first = gate()
    let running = 0
    let most = 0
    const { client, started, done } = fakeClient(async ({ key }) => {
      if (key === 'a.sensors') most = Math.max(most, ++running)
      await first.passed
      if (key === 'a.sensors') running--
    })
    const { url } = await startWorld({ rules: [{ topic: '+name', key: '{name}', format: 'raw' }], client })
    const device = await sensor(url)
    const sent = ['1', '2', '3'].map((value) => device.publishAsync('a', value, { qos: 1 }))
    sent.push(device.publishAsync('b', '9', { qos: 1 }))
    await started.reach(2)
    expect(started.entries.map(({ key, value }) => [key, value])).toEqual([
      ['a.sensors', '1'],
      ['b.sensors', '9'],
    ])
    first.open()
    await Promise.all(sent)
    expect(most).toBe(1)
    expect(done.entries.filter(({ key }) => key === 'a.sensors').map(({ value }) => value)).toEqual(['1', '2', '3'])
  })

  test('that wait stop the reading from their sensor, and everything arrives in the end', async () => {
    const first = gate()
    const { client, started, done } = fakeClient(() => first.passed)
    const { url } = await startWorld({ rules: [{ topic: 'n/+name', key: '{name}', format: 'raw' }], client })
    const [device, other] = await Promise.all([sensor(url), sensor(url)])
    const sent: Promise<unknown>[] = []
    const send = () => sent.push(device.publishAsync(`n/${sent.length}`, '1', { qos: 1 }))
    while (sent.length < 256) {
      send()
      await started.reach(sent.length)
    }
    while (sent.length < 2_000) send()
    await other.subscribeAsync('x')
    await other.publishAsync('y', 'z', { qos: 2 })
    expect(started.entries).toHaveLength(256)
    first.open()
    await Promise.all(sent)
    expect(done.entries).toHaveLength(2_000)
  })
})

describe('closing', () => {
  test('waits for readings in flight and acknowledges them', async () => {
    const commit = gate()
    const { client, started, done } = fakeClient(() => commit.passed)
    const { url, bridge } = await startWorld({ rules: [temperature], client })
    const device = await sensor(url)
    const published = device.publishAsync('zigbee2mqtt/a', '{"temperature":1}', { qos: 1 })
    await started.reach(1)
    const ended = bridge.close()
    commit.open()
    await published
    await ended
    expect(done.entries).toHaveLength(1)
    await expect(mqtt.connectAsync(url, { reconnectPeriod: 0 })).rejects.toThrow()
  })

  test('waits for the reading of a sensor that has gone already', async () => {
    const commit = gate()
    const { client, started, done } = fakeClient(() => commit.passed)
    const { url, bridge } = await startWorld({ rules: [temperature], client })
    const [device, other] = await Promise.all([sensor(url), sensor(url)])
    const gone = journal<string>()
    other.on('message', (topic) => gone.add(topic))
    await other.subscribeAsync('$SYS/+/disconnect/clients')
    await device.publishAsync('zigbee2mqtt/a', '{"temperature":1}', { qos: 0 })
    await started.reach(1)
    await device.endAsync()
    await gone.reach(1)
    const stored = bridge.close().then(() => done.entries.length)
    // Time enough for a bridge that does not wait: a whole other one comes and goes.
    const elsewhere = await startWorld({ rules: [], client })
    await (await sensor(elsewhere.url)).publishAsync('a', 'b', { qos: 2 })
    await elsewhere.bridge.close()
    commit.open()
    expect(await stored).toBe(1)
  })

  test('drops a message that comes too late without acknowledging it', async () => {
    const commit = gate()
    const { client, started } = fakeClient(() => commit.passed)
    const { url, bridge } = await startWorld({ rules: [temperature], client })
    const [early, late] = await Promise.all([sensor(url), sensor(url)])
    const published = early.publishAsync('zigbee2mqtt/a', '{"temperature":1}', { qos: 1 })
    await started.reach(1)
    const ended = bridge.close()
    const lost = closed(late)
    late.publish('zigbee2mqtt/a', '{"temperature":2}', { qos: 1 })
    await lost
    commit.open()
    await published
    await ended
    expect(bridge.stats()).toMatchObject({ received: 1, committed: 1 })
  })
})

describe('the broker', () => {
  test('ends a connection that announces a packet beyond the bound', async () => {
    const { url } = await startWorld({ rules: [], client: fakeClient().client })
    const device = await sensor(url)
    const lost = closed(device)
    device.publish('a', Buffer.alloc(300_000), { qos: 0 })
    await lost
  })

  test('takes a hundred connections and closes one more', async () => {
    const { bridge } = await startWorld({ rules: [], client: fakeClient().client })
    const dial = () => createConnection({ host: '127.0.0.1', port: bridge.port }).on('error', () => undefined)
    const sockets = Array.from({ length: 100 }, dial)
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
    })
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
    const surplus = dial()
    await new Promise((resolve) => surplus.once('close', resolve))
    expect(sockets.every((socket) => !socket.destroyed)).toBe(true)
  })

  test('keeps no session for a subscriber that stays away', async () => {
    const { url } = await startWorld({ rules: [], client: fakeClient().client })
    const options = { clientId: 'home', clean: false }
    const home = await sensor(url, options)
    await home.subscribeAsync('#', { qos: 1 })
    await home.endAsync()
    const device = await sensor(url)
    await device.publishAsync('a', 'missed', { qos: 1 })
    const again = await sensor(url, options)
    const heard = journal<string>()
    again.on('message', (_topic, payload) => heard.add(payload.toString()))
    await again.subscribeAsync('#', { qos: 1 })
    await device.publishAsync('a', 'heard', { qos: 1 })
    await heard.reach(1)
    expect(heard.entries).toEqual(['heard'])
  })

  test('keeps its own topics to itself', async () => {
    const { url } = await startWorld({ rules: [], client: fakeClient().client })
    const device = await sensor(url)
    const lost = closed(device)
    device.publish('$SYS/x', 'y', { qos: 1 })
    await lost
  })

  test('asks other machines for name and password, and admits nobody without', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atedge-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const passwordFile = join(folder, 'password')
    await writeFile(passwordFile, 'open sesame\n')
    const { client } = fakeClient()
    const closedShop = await startWorld({ rules: [], client, address: '192.0.2.7' })
    await expect(sensor(closedShop.url)).rejects.toThrow('Not authorized')

    const broker = { username: 'sensor', passwordFile }
    const { url } = await startWorld({ rules: [], client, broker, address: '192.0.2.7' })
    await expect(sensor(url)).rejects.toThrow('Not authorized')
    await expect(sensor(url, { username: 'sensor', password: 'wrong' })).rejects.toThrow('Not authorized')
    expect((await sensor(url, { username: 'sensor', password: 'open sesame' })).connected).toBe(true)
  })

  test('says which port is taken', async () => {
    const { bridge } = await startWorld({ rules: [], client: fakeClient().client })
    await expect(listenTcp({ host: '127.0.0.1', port: bridge.port, onConnection: () => undefined })).rejects.toThrow(
      `cannot listen on 127.0.0.1 port ${bridge.port}: the port is taken by another program`,
    )
  })
})
