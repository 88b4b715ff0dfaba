import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { onTestFinished } from 'vitest'
import { type Bridge, type BridgeClient, type BridgeConfig, type Rule, startBridge } from '../../src/bridge/bridge.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { Durability } from '../../src/core/storage.ts'
import { listenTcp } from '../../src/net/listen-tcp.ts'

/** A clock that a test moves. */
export interface HandClock extends Clock {
  /** Moves time on and runs what is due. */
  advance(ms: number): void
}

export function handClock(start = Date.parse('2026-11-20T12:00:00.000Z')): HandClock {
  let now = start
  const tasks = new Set<{ at: number; task: () => void }>()
  return {
    now: () => now,
    after(ms, task) {
      const entry = { at: now + ms, task }
      tasks.add(entry)
      return () => void tasks.delete(entry)
    },
    advance(ms) {
      now += ms
      for (const entry of [...tasks].filter(({ at }) => at <= now)) {
        tasks.delete(entry)
        entry.task()
      }
    },
  }
}

/** Something that happened and can be waited for: calls of a fake, lines of a log. */
export function journal<T>() {
  const entries: T[] = []
  const waiting = new Set<() => void>()
  return {
    entries,
    add(entry: T): void {
      entries.push(entry)
      for (const check of [...waiting]) check()
    },
    /** Resolves when there are at least `count` entries. */
    async reach(count: number): Promise<void> {
      await new Promise<void>((resolve) => {
        const check = () => {
          if (entries.length < count) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      })
    },
  }
}

export interface Write {
  readonly verb: 'put' | 'notify'
  readonly key: string
  readonly value: string
  readonly options: object | undefined
}

/** A client of no server: every write is noted and then decided by `judge`, which may wait or throw. */
export function fakeClient(judge: (write: Write) => Promise<void> | void = () => undefined) {
  const started = journal<Write>()
  const done = journal<Write>()
  const write = async (verb: Write['verb'], key: string, value: string, options: object | undefined) => {
    const entry = { verb, key, value, options }
    started.add(entry)
    await judge(entry)
    done.add(entry)
  }
  const client: BridgeClient = {
    atSign: '@device',
    async put(key, value, options) {
      await write('put', key, value, options)
      return done.entries.length
    },
    async notify(key, value, options) {
      await write('notify', key, value, options)
      return `id-${done.entries.length}`
    },
  }
  return { client, started, done }
}

/** A promise with its ends in hand. */
export function gate() {
  let open: () => void = () => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { passed, open }
}

export interface World {
  readonly bridge: Bridge
  readonly url: string
  readonly log: { readonly entries: readonly string[]; reach(count: number): Promise<void> }
}

/** A running bridge on a free loopback port, closed when the test ends. */
export async function startWorld(parts: {
  rules: readonly Rule[]
  client: BridgeClient
  clock?: Clock
  autoNotify?: boolean
  unacknowledged?: Durability
  broker?: BridgeConfig['broker']
  address?: string
}): Promise<World> {
  const log = journal<string>()
  const bridge = await startBridge({
    config: { namespace: 'sensors', rules: parts.rules, broker: parts.broker ?? {} },
    client: parts.client,
    clock: parts.clock ?? handClock(),
    listen: (onConnection) => {
      const seen = (socket: Parameters<typeof onConnection>[0]) => {
        if (parts.address !== undefined) Object.defineProperty(socket, 'remoteAddress', { value: parts.address })
        onConnection(socket)
      }
      return listenTcp({ host: '127.0.0.1', port: 0, onConnection: seen })
    },
    log: (level, message) => {
      if (level === 'warn') log.add(message)
    },
    autoNotify: parts.autoNotify ?? true,
    unacknowledged: parts.unacknowledged,
  })
  onTestFinished(() => bridge.close())
  return { bridge, url: `mqtt://127.0.0.1:${bridge.port}`, log }
}

/** A real MQTT client, ended when the test ends. It does not connect again unless asked to. */
export async function sensor(url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, {
    reconnectPeriod: 0,
    queueQoSZero: false,
    protocolVersion: 4,
    ...options,
  })
  client.on('error', () => undefined)
  onTestFinished(() => client.endAsync(true))
  return client
}

/** Resolves at the first packet of a kind. */
export const packet = (client: MqttClient, kind: string): Promise<void> =>
  new Promise((resolve) => client.on('packetreceive', ({ cmd }) => cmd === kind && resolve()))

/** Resolves when a client has lost its connection. */
export const closed = (client: MqttClient): Promise<void> => new Promise((resolve) => client.once('close', resolve))
