import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fakeClient, startWorld } from '../bridge/world.ts'

type Child = ChildProcessByStdio<null, Readable, Readable>

/** A program of Mosquitto that writes line by line, stopped when the test ends. */
function start(program: 'mosquitto_pub' | 'mosquitto_sub', url: string, ...args: string[]): Child {
  const { hostname, port } = new URL(url)
  const child = spawn('stdbuf', ['-oL', program, '-h', hostname, '-p', port, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill())
  return child
}

async function outcome(child: Child): Promise<{ out: string; err: string; status: unknown }> {
  const [out, err, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { out, err, status }
}

/** Resolves when the debug output of `mosquitto_sub -d` says that the broker took the subscription. */
const subscribed = (child: Child): Promise<void> =>
  new Promise((resolve) => {
    let seen = ''
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk
      if (seen.includes('SUBACK')) resolve()
    })
  })

const rule = { topic: 'zigbee2mqtt/+device', key: 'temperature.{device}', value: '$.temperature', unit: '°C' }
const payload = '{"temperature":21.4}'
const quiet = { out: '', err: '', status: 0 }

describe('mosquitto_pub and mosquitto_sub at the embedded broker', () => {
  test.each(['0', '1', '2'])('a reading of QoS %s is acknowledged, read back and kept as a record', async (qos) => {
    const { client, done } = fakeClient()
    const { url } = await startWorld({ rules: [rule], client })
    const reader = start('mosquitto_sub', url, '-d', '-q', qos, '-t', 'zigbee2mqtt/#', '-C', '1', '-W', '30')
    const read = outcome(reader)
    await subscribed(reader)
    const sender = start('mosquitto_pub', url, '-q', qos, '-t', 'zigbee2mqtt/Kitchen', '-m', payload)
    expect(await outcome(sender)).toEqual(quiet)
    const { out, status } = await read
    expect(status).toBe(0)
    expect(out.split('\n')).toContain(payload)
    await done.reach(1)
    expect(done.entries).toMatchObject([{ verb: 'put', key: 'temperature.kitchen.sensors' }])
  })

  test('a retained reading waits for its reader', async () => {
    const { client } = fakeClient()
    const { url } = await startWorld({ rules: [rule], client })
    const sender = start('mosquitto_pub', url, '-r', '-q', '1', '-t', 'zigbee2mqtt/a', '-m', payload)
    expect(await outcome(sender)).toEqual(quiet)
    const reader = start('mosquitto_sub', url, '-t', 'zigbee2mqtt/#', '-C', '1', '-W', '30')
    expect(await outcome(reader)).toEqual({ ...quiet, out: `${payload}\n` })
  })

  test('a reading that cannot be stored is not acknowledged: its sensor is told by the end of the connection', async () => {
    const { client } = fakeClient(() => {
      throw new Error('the disk is full')
    })
    const { url, bridge } = await startWorld({ rules: [rule], client })
    const sender = start('mosquitto_pub', url, '-d', '-q', '1', '-t', 'zigbee2mqtt/a', '-m', payload)
    const { out, status } = await outcome(sender)
    expect(out).toContain('sending PUBLISH')
    expect(out).not.toContain('PUBACK')
    expect(status).not.toBe(0)
    expect(bridge.stats()).toMatchObject({ received: 1, committed: 0, failed: 1 })
  })
})
