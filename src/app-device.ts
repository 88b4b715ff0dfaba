import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type AtServer, createAtServer } from './app.ts'
import { streamStore } from './app-backup.ts'
import { type DeviceCertificate, followCertificate } from './app-certificate.ts'
import { type Reloads, reloadAll, startControl, verbCommand } from './app-control.ts'
import { startLocalDirectory } from './app-directory.ts'
import { listenFor } from './app-listen.ts'
import { readStatus, type StatusSections } from './app-status.ts'
import { type Bridge, startBridge } from './bridge/bridge.ts'
import { connectAtClient } from './client/client.ts'
import type { Config } from './config/load.ts'
import type { Clock } from './core/clock.ts'
import type { ClockStatus } from './core/clock-floor.ts'
import type { Log } from './core/log.ts'
import { type AtKeys, readKeysFile } from './crypto/keys-file.ts'
import { vouchedClock } from './device/clock-trust.ts'
import { healthRules, publishHealth } from './device/health.ts'
import type { Wear } from './device/wear.ts'
import { directoryServers, resolverFor } from './directory/locate.ts'
import { keepRegistered } from './directory/registrant.ts'
import { dialTls } from './net/dial.ts'
import type { Listener } from './net/listen.ts'
import { listenTcp } from './net/listen-tcp.ts'
import { clientContext, type ServerContext } from './net/tls-context.ts'
import { createTrust } from './net/trust.ts'
import type { ControlCommands } from './server/control.ts'
import { type Snapshots, startSnapshots } from './services/snapshots.ts'

/** A device at work: its atServer, and the bridge, directory and host readings that its configuration asks for. */
export interface Device {
  readonly server: AtServer
  /** Port of the embedded broker, once the bridge runs. */
  brokerPort(): number | undefined
  /** Reads anew what can change while the device runs. @returns what became of each part, by name */
  reload(): Promise<Readonly<Record<string, unknown>>>
  close(): Promise<void>
}

export interface DeviceOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
}

type Close = () => Promise<unknown>

const retryKeysMs = 5_000

/** Waits, or stops waiting when the signal says so. */
const pause = (ms: number, clock: Clock, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const cancel = clock.after(ms, resolve)
    signal.addEventListener('abort', () => {
      cancel()
      resolve()
    })
  })

/** The keys the bridge logs in with, as soon as somebody has activated the atSign. */
async function awaitKeys(
  config: Config,
  { clock, log }: DeviceOptions,
  signal: AbortSignal,
): Promise<AtKeys | undefined> {
  for (let told = false; !signal.aborted; told = true) {
    try {
      return await readKeysFile(config.bridge.keys, config.atSign)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      const why = reason.includes('ENOENT') ? {} : { reason }
      if (!told)
        log('warn', 'the bridge waits for its keys: run `atedge activate`', { file: config.bridge.keys, ...why })
    }
    await pause(retryKeysMs, clock, signal)
  }
  return undefined
}

/** Starts the bridge with a client session of its own, through the same gate as every other client. */
export async function startDeviceBridge(
  server: AtServer,
  keys: AtKeys,
  options: DeviceOptions,
): Promise<{ bridge: Bridge; close: Close }> {
  const { config, clock, log } = options
  const client = await connectAtClient({
    ...{ atSign: server.atSign, keys, clock },
    connect: async () => server.connect(),
    durable: { group: async () => server.connect('group'), interval: async () => server.connect('interval') },
    // A reading is kept though its reader is away: the sensor will not take it again.
    unreachable: 'defer',
  })
  const { bridge: settings, health } = config
  try {
    const rules = health.enabled ? [...settings.rules, ...healthRules(health.topic, health.recipients)] : settings.rules
    const bridge = await startBridge({
      config: { ...settings, rules },
      client,
      clock,
      log,
      autoNotify: config.notification.autoNotify,
      // Nobody was promised that one with QoS 0 is kept, so that it need not cost a write of its own.
      unacknowledged: config.storage.durability ?? 'interval',
      listen: (onConnection) => listenTcp({ host: settings.broker.host, port: settings.broker.port, onConnection }),
    })
    const stopHealth = health.enabled ? await startHealth(bridge.port, options) : async () => {}
    const close = async (): Promise<void> => {
      await stopHealth()
      await bridge.close()
      await client.close()
    }
    return { bridge, close }
  } catch (error) {
    await client.close()
    throw error
  }
}

async function startHealth(port: number, { config, clock, log }: DeviceOptions): Promise<Close> {
  const { topic, interval } = config.health
  const { host } = config.bridge.broker
  const broker = { host: host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port }
  const publisher = await publishHealth({ broker, topic, intervalMs: interval, clock, directory: config.dataDir, log })
  return () => publisher.stop()
}

const contextOf = ({ chain, key, ca }: DeviceCertificate): ServerContext => ({ cert: chain, key, ca })

const dialContext = ({ chain, key, ca }: DeviceCertificate) =>
  clientContext({ cert: chain, key, ...(ca === undefined ? {} : { ca: [ca] }) })

/**
 * Starts everything that the configuration asks for. The bridge follows by itself once the atSign is activated.
 * @throws Error that names the busy port, the unusable file or the locked store
 */
export async function startDevice(given: DeviceOptions): Promise<Device> {
  const { config, log, version } = given
  const clock = vouchedClock(given.clock, config.clock)
  const options = { ...given, clock }
  const closers: Close[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  const listeners: Pick<Listener, 'setContext'>[] = []
  const certificate = await followCertificate(options, (next) => {
    for (const listener of listeners) listener.setContext(contextOf(next))
    secureContext = undefined
  })
  closers.push(async () => certificate.close())
  const context = contextOf(certificate.current())
  // Made for the first dial: it reads every public authority, which a start need not wait for.
  let secureContext: ReturnType<typeof dialContext> | undefined
  // The floor of the clock is in the store: who dials after it was opened knows whether dates can be judged.
  let judging: Clock = clock
  const dial = async (address: { host: string; port: number }): Promise<Duplex> => {
    secureContext ??= dialContext(certificate.current())
    return dialTls({ ...address, context: secureContext, trust: createTrust(certificate.current().ca), clock: judging })
  }
  try {
    const address = `${config.host}:${config.listen.port}`
    const directory = config.directory.enabled
      ? await startLocalDirectory({
          ...{ ...options, context, dial, own: [[config.atSign, address]] },
          clock: { ...clock, trusted: () => judging.trusted?.() !== false },
        })
      : undefined
    if (directory !== undefined) {
      closers.push(directory.close)
      listeners.push(directory)
    }
    const { addresses, cache: cacheMs } = config.rootServer
    const resolver = directory?.resolver(cacheMs) ?? resolverFor(addresses, { clock, dial, cacheMs })
    closers.push(async () => resolver.close())
    const registrant = config.rootServer.register
      ? keepRegistered({ ...options, atSign: config.atSign, address, servers: directoryServers(addresses, dial) })
      : undefined
    closers.push(async () => registrant?.close())
    const server = await createAtServer({
      atSign: config.atSign,
      directory: join(config.dataDir, 'store'),
      snapshots: snapshotFolder(config),
      ...{ resolver, dial, clock, log, version },
      federation: config.federation,
      autoNotify: config.notification.autoNotify,
      testingMode: config.testingMode,
      notificationMs: config.notification.expiry,
      notificationLog: { keepMs: config.notification.keep, maxBytes: config.notification.maxBytes },
      durability: config.storage.durability ?? 'group',
      intervalMs: config.storage.interval,
      maxBytes: config.storage.maxBytes,
      enduranceBytes: config.storage.endurance * terabyte,
      scrubPerDay: config.storage.scrub * 1_048_576,
      serverCertificate: certificate.current,
    })
    judging = server.clock
    const listening = await listenFor(server, { ...config.listen, ...context, log })
    closers.push(listening.close)
    listeners.push(listening)
    log('info', 'atServer listens', { atSign: config.atSign, port: config.listen.port })
    const snapshots = config.snapshots.enabled ? await snapshotsOf(server, options) : undefined
    if (snapshots !== undefined) closers.push(snapshots.close)
    // What `atedge status` shows besides the atServer's own numbers: one line a part, `disk: () => disk.status(),`.
    const sections: StatusSections = {
      clock: () => clockSection(server.clock.status()),
      disk: () => server.disk(),
      wear: () => wearSection(server.wear()),
      health: () => server.health(),
      snapshots: () => snapshots?.status(),
      directory: () => directory?.status(),
      registration: () => registrant?.status(),
    }
    // What `atedge reload` reads anew: one line a part, `certificates: () => certificates.read(),`.
    const reloads: Reloads = { certificates: async () => ({ changed: await certificate.reload() }) }
    const commands: ControlCommands = {
      status: () => readStatus({ server, version, clock, chain: () => certificate.current().chain }, sections),
      reload: () => reloadAll(reloads),
      backup: streamStore(server.content, clock),
      verb: verbCommand(server, clock),
      ...directory?.commands,
    }
    closers.push(await startControl({ path: config.control.path, commands, clock, log }))
    const bridge = config.bridge.enabled ? followWithBridge(server, { ...options, clock: server.clock }) : undefined
    if (bridge !== undefined) closers.push(bridge.close)
    return { server, brokerPort: () => bridge?.port(), reload: () => reloadAll(reloads), close }
  } catch (error) {
    await close()
    throw error
  }
}

const terabyte = 1_000_000_000_000

const wearSection = ({ since, ...rest }: Wear) => ({ ...rest, since: new Date(since).toISOString() })

const clockSection = ({ floor, ...status }: ClockStatus) => ({ ...status, floor: new Date(floor).toISOString() })

/** Where a device keeps its snapshots. */
export const snapshotFolder = (config: Config): string => join(config.dataDir, 'snapshots')

function snapshotsOf(server: AtServer, { config, clock, log }: DeviceOptions): Promise<Snapshots> {
  const { interval, keep } = config.snapshots
  const folder = snapshotFolder(config)
  return startSnapshots({ store: server.content, folder, intervalMs: interval, keep, clock, log })
}

const retryBridgeMs = 5_000

/** Runs the bridge from the moment the keys are there; one that cannot start (a busy port, a missing file) is tried again. */
function followWithBridge(server: AtServer, options: DeviceOptions): { port: () => number | undefined; close: Close } {
  const { config, clock, log } = options
  const stop = new AbortController()
  let running: Awaited<ReturnType<typeof startDeviceBridge>> | undefined
  const start = async (): Promise<void> => {
    const keys = await awaitKeys(config, options, stop.signal)
    if (keys !== undefined) running = await startDeviceBridge(server, keys, options)
  }
  const starting = (async () => {
    while (running === undefined && !stop.signal.aborted) {
      await start().catch((error: Error) => log('error', 'the bridge could not start', { reason: error.message }))
      if (running === undefined) await pause(retryBridgeMs, clock, stop.signal)
    }
  })()
  return {
    port: () => running?.bridge.port,
    async close() {
      stop.abort()
      await starting
      await running?.close()
    },
  }
}
