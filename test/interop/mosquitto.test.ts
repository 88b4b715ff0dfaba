import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fakeClient, startWorld } from '../bridge/world.ts'

/** A program of Mosquitto, stopped when the test ends. */
function start(program: 'mosquitto_pub' | 'mosquitto_sub', url: string, ...args: string[]) {
  const child = spawn(program, ['-h', '127.0.0.1', '-p', new URL(url).port, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill())
  return child
}

async function outcome(child: ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream }) {
  const [out, err, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { out, err, status }
}

/** Resolves when the debug output of `mosquitto_sub -d` says that the broker took the subscription. */
const subscribed = (child: { stdout: NodeJS.ReadableStream }): Promise<void> =>
  new Promise((resolve) => {
    let seen = ''
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk
      if (seen.includes('SUBACK')) resolve()
    })
  })

const rule = { topic: 'zigbee2mqtt/+device', key: 'temperature.{device}', value: '$.temperature', unit: '°C' }

describe('mosquitto_pub and mosquitto_sub at the embedded broker', () => {
  test.each(['0', '1', '2'])('a reading of QoS %s is acknowledged, read back and kept as a record', async (qos) => {
    const { client, started, done } = fakeClient()
    const { url } = await startWorld({ rules: [rule], client })
    const reader = start('mosquitto_sub', url, '-d', '-q', qos, '-t', 'zigbee2mqtt/#', '-C', '1', '-W', '30')
    const read = outcome(reader)
    await subscribed(reader)
    const payload = '{"temperature":21.4}'
    const sent = await outcome(start('mosquitto_pub', url, '-q', qos, '-t', 'zigbee2mqtt/Kitchen', '-m', payload))
    expect(sent).toEqual({ out: '', err: '', status: 0 })
    const { out, status } = await read
    expect(status).toBe(0)
    expect(out.split('\n')).toContain(payload)
    await started.reach(1)
    await done.reach(1)
    expect(done.entries).toMatchObject([{ verb: 'put', key: 'temperature.kitchen.sensors' }])
  })

  test('a retained reading waits for its reader', async () => {
    const { client } = fakeClient()
    const { url } = await startWorld({ rules: [rule], client })
    const sent = await outcome(start('mosquitto_pub', url, '-r', '-q', '1', '-t', 'zigbee2mqtt/a', '-m', '{"temperature":1}'))
    expect(sent).toEqual({ out: '', err: '', status: 0 })
    const read = await outcome(start('mosquitto_sub', url, '-t', 'zigbee2mqtt/#', '-C', '1', '-W', '30'))
    expect(read).toEqual({ out: '{"temperature":1}\n', err: '', status: 0 })
  })

  test('a reading that cannot be stored is not acknowledged', async () => {
    const { client } = fakeClient(() => {
      throw new Error('the disk is full')
    })
    const { url, bridge } = await startWorld({ rules: [rule], client })
    const sender = start('mosquitto_pub', url, '-d', '-q', '1', '-t', 'zigbee2mqtt/a', '-m', '{"temperature":1}')
    const sent = outcome(sender)
    await new Promise<void>((resolve) => sender.stdout.on('data', (chunk: Buffer) => chunk.includes('PUBLISH') && resolve()))
    const closed = new Promise((resolve) => setImmediate(resolve))
    await closed
    sender.kill()
    expect((await sent).out).not.toContain('PUBACK')
    expect(bridge.stats()).toMatchObject({ committed: 0 })
  })
})
