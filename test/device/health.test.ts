import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { compileRules } from '../../src/bridge/mapping.ts'
import { silent } from '../../src/core/log.ts'
import { backoffMs } from '../../src/device/backoff.ts'
import { healthRules, publishHealth, readHealth } from '../../src/device/health.ts'
import { fakeClient, gate, handClock, journal, startWorld } from '../bridge/world.ts'

const everywhere = ['load', 'memory_used', 'disk_used', 'uptime']

/** A clock whose timers tell when they are set. */
function watchedClock() {
  const clock = handClock()
  const timers = journal<number>()
  const after: typeof clock.after = (ms, task) => {
    const cancel = clock.after(ms, task)
    timers.add(ms)
    return cancel
  }
  return { ...clock, after, timers }
}

describe('host readings', () => {
  test('have a quantity, a value and a unit', async () => {
    const readings = await readHealth(import.meta.dirname)
    const units = Object.fromEntries(readings.map(({ quantity, unit }) => [quantity, unit]))
    expect(units).toMatchObject({ load: '', memory_used: '%', disk_used: '%', uptime: 's' })
    for (const { value, unit } of readings) {
      expect(value).toBeGreaterThanOrEqual(unit === '°C' ? -60 : 0)
      if (unit === '%') expect(value).toBeLessThanOrEqual(100)
    }
  })

  test('leave out what the machine cannot tell', async () => {
    const quantities = (await readHealth('/no/such/folder')).map(({ quantity }) => quantity)
    expect(quantities).toEqual(expect.arrayContaining(['load', 'memory_used', 'uptime']))
    expect(quantities).not.toContain('disk_used')
  })

  test('have rules that the bridge can compile', () => {
    const rules = healthRules('atedge/host', ['self', '@alice'])
    expect(compileRules(rules, 'sensors').rules).toHaveLength(5)
    expect(rules[0]).toEqual({
      topic: 'atedge/host/cpu_temperature',
      key: 'cpu_temperature.host',
      value: '$.value',
      unit: '°C',
      recipients: ['self', '@alice'],
    })
  })
})

describe('the publisher', () => {
  const start = async (url: string, clock: ReturnType<typeof watchedClock>) => {
    const { hostname, port } = new URL(url)
    const publisher = await publishHealth({
      broker: { host: hostname, port: Number(port) },
      topic: 'atedge/host',
      intervalMs: 10_000,
      clock,
      directory: import.meta.dirname,
      log: silent,
      random: () => 0.5,
    })
    onTestFinished(() => publisher.stop())
    return publisher
  }

  test('sends real readings of this machine over MQTT at once and at every interval', async () => {
    const clock = watchedClock()
    const { client, done } = fakeClient()
    const { url, bridge } = await startWorld({ rules: healthRules('atedge/host', ['self']), client, clock })
    const publisher = await start(url, clock)
    await clock.timers.reach(1)
    expect(clock.timers.entries).toEqual([10_000])
    const first = done.entries.length
    expect(done.entries.map(({ key }) => key)).toEqual(
      expect.arrayContaining(everywhere.map((q) => `${q}.host.sensors`)),
    )
    for (const { value } of done.entries) {
      expect(JSON.parse(value)).toMatchObject({ value: expect.any(Number), time: '2026-11-20T12:00:00.000Z' })
    }
    clock.advance(10_000)
    await clock.timers.reach(2)
    expect(done.entries).toHaveLength(2 * first)
    expect(done.entries.at(-1)?.value).toContain('2026-11-20T12:00:10.000Z')

    await publisher.stop()
    clock.advance(100_000)
    expect(clock.timers.entries).toHaveLength(2)
    expect(bridge.stats()).toMatchObject({ received: 2 * first, committed: 2 * first })
  })

  test('comes back after the broker was away, with growing pauses', async () => {
    const clock = watchedClock()
    const gone = await startWorld({ rules: [], client: fakeClient().client })
    await gone.bridge.close()
    await start(gone.url, clock)
    for (const pauses of [[1_000], [1_000, 2_000], [1_000, 2_000, 4_000]]) {
      await clock.timers.reach(pauses.length)
      expect(clock.timers.entries).toEqual(pauses)
      clock.advance(pauses.at(-1) ?? 0)
    }
    await clock.timers.reach(4)
  })

  test('keeps growing its pauses while the broker takes connections and no readings, then recovers', async () => {
    const clock = watchedClock()
    let healthy = false
    const { client, done } = fakeClient(() => {
      if (!healthy) throw new Error('disk full')
    })
    const { url, bridge } = await startWorld({ rules: healthRules('atedge/host', ['self']), client, clock })
    await start(url, clock)
    await clock.timers.reach(1)
    clock.advance(1_000)
    await clock.timers.reach(2)
    expect(clock.timers.entries).toEqual([1_000, 2_000])
    healthy = true
    clock.advance(2_000)
    await clock.timers.reach(3)
    expect(clock.timers.entries[2]).toBe(10_000)
    expect(done.entries.length).toBeGreaterThanOrEqual(everywhere.length)
    await bridge.close()
    await clock.timers.reach(4)
    expect(clock.timers.entries[3]).toBe(1_000)
  })

  test('stops while its readings wait for their commit', async () => {
    const clock = watchedClock()
    const commit = gate()
    const { client, started } = fakeClient(() => commit.passed)
    const { url } = await startWorld({ rules: healthRules('atedge/host', ['self']), client, clock })
    const publisher = await start(url, clock)
    await started.reach(1)
    await publisher.stop()
    expect(clock.timers.entries).toEqual([])
    commit.open()
  })

  test('stops while it has no broker', async () => {
    const clock = watchedClock()
    const gone = await startWorld({ rules: [], client: fakeClient().client })
    await gone.bridge.close()
    const publisher = await start(gone.url, clock)
    await clock.timers.reach(1)
    await publisher.stop()
    clock.advance(100_000)
    expect(clock.timers.entries).toEqual([1_000])
  })
})

test('pauses stay between 0.8 seconds and 72 seconds, whatever the attempt', () => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, random) => {
      const ms = backoffMs(attempt, random)
      expect(ms).toBeGreaterThanOrEqual(800)
      expect(ms).toBeLessThanOrEqual(72_000)
    }),
  )
})
