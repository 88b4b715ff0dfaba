import type { MqttClient } from 'mqtt'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { backoffMs } from './backoff.ts'
import { readHealth } from './host-readings.ts'

export { type HealthReading, type HealthRule, healthRules, readHealth } from './host-readings.ts'

/** What is published where. */
export interface HealthOptions {
  /** On the same machine: nothing is encrypted. */
  readonly broker: { readonly host: string; readonly port: number }
  /** Each reading goes to `<topic>/<quantity>`. */
  readonly topic: string
  readonly intervalMs: number
  readonly clock: Clock
  /** A folder on the file system whose fill is of interest. */
  readonly directory: string
  readonly log: Log
  /** From 0 to below 1, for the jitter of reconnects. */
  random?(): number
}

/** A sensor that measures its own device. */
export interface HealthPublisher {
  /** Ends measuring and the connection; resolves when both have ended. */
  stop(): Promise<void>
}

/**
 * Publishes the host readings at once and then every `intervalMs`, with QoS 1 over a real MQTT connection as any sensor would:
 * `atedge/host/cpu_temperature` `{"value":48.2,"unit":"°C","time":"2026-11-20T12:00:00.000Z"}`.
 * While there is no broker nothing is measured or queued; the connection is tried again with growing, jittered pauses.
 */
export async function publishHealth(options: HealthOptions): Promise<HealthPublisher> {
  // Its code is looked at once the device listens: a start need not wait for it.
  const { default: mqtt } = await import('mqtt')
  const { broker, intervalMs, clock, log, random = Math.random } = options
  let stopped = false
  let attempt = 0
  let cancel: () => void = () => undefined
  let round: Promise<void> = Promise.resolve()
  let client = open()

  function open(): MqttClient {
    // No period of its own: it would try every second without jitter for ever. A new client each time, because an old one
    // keeps the callbacks of what it never sent.
    // Not a URL, which mqtt.js would take apart by `url.parse`: Node 24 warns of that (DEP0169).
    const opened = mqtt.connect({
      ...broker,
      protocol: 'mqtt',
      reconnectPeriod: 0,
      queueQoSZero: false,
      protocolVersion: 4,
      timerVariant: 'native',
    })
    opened.on('connect', () => measure(opened))
    opened.on('error', (error) =>
      log('info', 'the MQTT broker cannot be reached', { ...broker, reason: error.message }),
    )
    opened.once('close', () => retry(opened))
    return opened
  }

  function retry(lost: MqttClient): void {
    cancel()
    // Settles what it still has in flight as failed.
    lost.end(true)
    if (stopped) return
    cancel = clock.after(backoffMs(attempt++, random()), () => {
      client = open()
    })
  }

  function measure(through: MqttClient): void {
    round = sendRound(through, options)
      .then(() => {
        // Only now: a broker that accepts connections and drops them again has not recovered.
        attempt = 0
      })
      .catch((error: Error) => log('info', 'host readings were not sent', { reason: error.message }))
      .finally(() => {
        if (!stopped && through.connected) cancel = clock.after(intervalMs, () => measure(through))
      })
  }

  return {
    async stop() {
      stopped = true
      cancel()
      const busy = Object.keys(client.outgoing).length > 0
      await client.endAsync(busy || !client.connected)
      await round
    },
  }
}

async function sendRound(client: MqttClient, { topic, clock, directory }: HealthOptions): Promise<void> {
  const readings = await readHealth(directory)
  const time = new Date(clock.now()).toISOString()
  if (!client.connected) return
  const sent = readings.map(({ quantity, value, unit }) => {
    const payload = JSON.stringify({ value, ...(unit === '' ? {} : { unit }), time })
    return client.publishAsync(`${topic}/${quantity}`, payload, { qos: 1 })
  })
  // All of them are awaited, so that none fails unheard.
  const ends = await Promise.allSettled(sent)
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
