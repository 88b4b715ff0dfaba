import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { afterEach, expect, it } from 'vitest'
import { type AtServer, createAtServer } from '../../src/app.ts'
import { startDeviceBridge } from '../../src/app-device.ts'
import { listenFor } from '../../src/app-listen.ts'
import { type Network, startNetwork } from '../../src/app-network.ts'
import { runCli } from '../../src/cli/main.ts'
import { type AtClient, connectAtClient, type ReceivedNotification } from '../../src/client/client.ts'
import { tlsTransport } from '../../src/client/transport.ts'
import { parseConfig } from '../../src/config/load.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { type AtKeys, readKeysFile } from '../../src/crypto/keys-file.ts'
import { createResolver } from '../../src/directory/resolver.ts'
import { activate } from '../../src/provision/activation.ts'
import { ensureAuthority, ensureCertificate } from '../../src/provision/files.ts'
import { streamsOf } from '../support/cli.ts'

const version = 'test'
const key = 'temperature.kitchen.sensors@device'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
const closeLater = (close: () => unknown): void => void closers.push(close)

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-main-job-'))
  closeLater(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Ports that nobody uses now; those that somebody takes meanwhile are tried again elsewhere. */
const somePort = (): number => 10_000 + Math.floor(Math.random() * 20_000)

async function onFreePorts<T>(start: (portBase: number) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await start(somePort())
    } catch (error) {
      if (attempt === 20 || !(error instanceof Error) || !error.message.includes('uses it already')) throw error
    }
  }
}

/** Collects what a monitor yields, for a test to wait on. */
function collect(client: AtClient, since?: number) {
  const received: ReceivedNotification[] = []
  let wake = (): void => {}
  const stop = new AbortController()
  closeLater(() => stop.abort())
  const reading = (async () => {
    for await (const notification of client.monitor({
      signal: stop.signal,
      ...(since === undefined ? {} : { since }),
    })) {
      if (!notification.key.includes('shared_key')) received.push(notification)
      wake()
    }
  })()
  reading.catch(() => {})
  return {
    received,
    values: () =>
      received.map(({ value, problem }) => problem ?? (JSON.parse(value ?? 'null') as { value: unknown }).value),
    async until(condition: () => boolean): Promise<void> {
      while (!condition()) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
  }
}

const rules = `
  rules:
    - topic: sensors/+place/+quantity
      key: '{quantity}.{place}'
      unit: °C
      recipients: ['@alice']
`

async function connectMember(network: Network, atSign: AtSign): Promise<AtClient> {
  const dial = tlsTransport(await readFile(network.ca, 'utf8'), clock)
  const resolver = createResolver({ clock, dial: () => dial(network.directory) })
  const member = network.members.find((candidate) => candidate.atSign === atSign)
  const keys = await readKeysFile(member?.keys ?? '', atSign)
  const client = await connectAtClient({
    atSign,
    keys,
    clock,
    connect: async () => dial(await resolver.resolve(atSign)),
  })
  closeLater(() => client.close())
  return client
}

it('carries a reading from MQTT to the peer, who decrypts it by monitor and by lookup after pol', async () => {
  const directory = await temporaryFolder()
  const atSigns: AtSign[] = ['@device', '@alice', '@mallory']
  const network = await onFreePorts((portBase) =>
    startNetwork({ atSigns, directory, portBase, activate: true, clock, log, version }),
  )
  closeLater(() => network.close())
  const [device] = network.members
  if (device?.keys === undefined) throw new Error('@device has no keys')
  const config = parseConfig(
    `atSign: '@device'\ndataDir: ${directory}\nhealth: { enabled: false }\nbridge:\n  broker: { port: 0 }${rules}`,
    'device.yaml',
  )
  const keys = await readKeysFile(device.keys, '@device')
  const { bridge, close } = await startDeviceBridge(device.server, keys, { config, clock, log, version })
  closeLater(close)
  const alice = await connectMember(network, '@alice')
  const seen = collect(alice)

  const sensor = await connectAsync(`mqtt://127.0.0.1:${bridge.port}`)
  closeLater(() => sensor.endAsync())
  await sensor.publishAsync('sensors/kitchen/temperature', '21.5', { qos: 1 })

  await seen.until(() => seen.received.length === 1)
  expect(seen.received[0]).toMatchObject({ from: '@device', to: '@alice', key: `@alice:${key}`, operation: 'update' })
  expect(JSON.parse(seen.received[0]?.value ?? '')).toMatchObject({ value: 21.5, unit: '°C' })

  const looked = await alice.get(key)
  expect(looked?.key).toBe(`@alice:${key}`)
  expect(JSON.parse(looked?.value ?? '')).toMatchObject({ value: 21.5, unit: '°C' })

  const owner = await connectMember(network, '@device')
  const stored = await owner.request(`llookup:all:@alice:${key}`)
  expect(stored).toContain('"isEncrypted":true')
  expect(stored).not.toContain('21.5')

  const mallory = await connectMember(network, '@mallory')
  expect(await mallory.get(key)).toBeUndefined()
  expect(await mallory.scan(undefined, { atSign: '@device' })).toEqual([])
})

interface Place {
  readonly folder: string
  readonly configFile: string
  readonly ports: { readonly directory: number; readonly device: number; readonly mqtt: number; readonly alice: number }
}

/** Runs `atedge serve` in a process of its own until its bridge takes messages. */
async function serve({ configFile }: Place): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts', 'serve', '-c', configFile], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  closeLater(() => child.kill('SIGKILL'))
  await new Promise<void>((resolve, reject) => {
    let text = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.includes('the bridge takes MQTT messages') || text.includes('the bridge waits')) resolve()
    })
    child.once('exit', (code) => reject(new Error(`the device ended with ${code}: ${text}`)))
  })
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGKILL')
  await ended
}

/** A command line as a user runs it. */
async function atedge(args: string[], input = ''): Promise<string> {
  const out: string[] = []
  const err: string[] = []
  const status = await runCli(args, {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    isTerminal: false,
    columns: () => 80,
    stopped: new Promise(() => {}),
    readInput: async () => input,
    streams: streamsOf(input),
    home: tmpdir(),
    program: 'atedge',
  })
  if (status !== 0) throw new Error(`atedge ${args.join(' ')} ended with ${status}: ${err.join('')}`)
  return out.join('')
}

async function makePlace(folder: string): Promise<Place> {
  const base = somePort()
  const ports = { directory: base, device: base + 1, mqtt: base + 2, alice: base + 3 }
  const authority = await ensureAuthority(folder, 'test', Date.now())
  const certificate = await ensureCertificate(folder, authority, ['localhost', '127.0.0.1'], Date.now())
  const configFile = join(folder, 'device.yaml')
  await mkdir(join(folder, 'device'))
  await writeFile(
    configFile,
    `atSign: '@device'
dataDir: ./device
host: localhost
listen: { host: 127.0.0.1, port: ${ports.device} }
certificates: { chain: ${certificate.chainPath}, key: ${certificate.keyPath}, ca: ${authority.certificatePath} }
directory: { enabled: true, host: 127.0.0.1, port: ${ports.directory}, entries: { '@alice': 'localhost:${ports.alice}' } }
health: { enabled: false }
bridge:
  broker: { port: ${ports.mqtt} }${rules}`,
  )
  return { folder, configFile, ports }
}

/** The peer's atServer; it finds the device by the directory that runs on the device. */
async function startAlice({ folder, ports }: Place): Promise<{ server: AtServer; close: () => Promise<void> }> {
  const ca = await readFile(join(folder, 'ca.pem'), 'utf8')
  const dial = tlsTransport(ca, clock)
  const resolver = createResolver({ clock, dial: () => dial({ host: 'localhost', port: ports.directory }) })
  const directory = join(folder, 'alice')
  const server = await createAtServer({ atSign: '@alice', directory, resolver, dial, clock, log, version })
  const [cert, certKey] = await Promise.all(
    ['fullchain.pem', 'privkey.pem'].map((name) => readFile(join(folder, name), 'utf8')),
  )
  const at = { host: '127.0.0.1', port: ports.alice, cert: cert ?? '', key: certKey ?? '', ca, log }
  const { close } = await listenFor(server, at)
  closeLater(close)
  return { server, close }
}

const clientOf = async (server: AtServer, keys: AtKeys): Promise<AtClient> => {
  const client = await connectAtClient({ atSign: server.atSign, keys, clock, connect: async () => server.connect() })
  closeLater(() => client.close())
  return client
}

it('delivers a reading once though the device is killed between commit and delivery', async () => {
  const place = await makePlace(await temporaryFolder())
  const { ports, configFile } = place
  const { cram } = JSON.parse(await atedge(['init', '@device', '-c', configFile, '--json'])) as { cram: string }
  const first = await serve(place)
  await atedge(['activate', '-c', configFile, '--secret', '-'], cram)
  await kill(first)

  const before = await startAlice(place)
  const secret = await before.server.cramSecret()
  const keys = await activate({
    atSign: '@alice',
    secret: secret ?? '',
    connect: async () => before.server.connect(),
    clock,
  })
  const device = await serve(place)
  const publish = async (value: string): Promise<void> => {
    const sensor = await connectAsync(`mqtt://127.0.0.1:${ports.mqtt}`)
    await sensor.publishAsync('sensors/kitchen/temperature', value, { qos: 1 })
    await sensor.endAsync()
  }
  const alice = await clientOf(before.server, keys)
  const early = collect(alice)
  await publish('1')
  await early.until(() => early.values().includes(1))

  await before.close()
  await publish('2')
  await kill(device)

  const after = await startAlice(place)
  const late = collect(await clientOf(after.server, keys), 0)
  await serve(place)
  await late.until(() => late.values().includes(2))
  await publish('3')
  await late.until(() => late.values().includes(3))
  expect(late.values()).toEqual([1, 2, 3])

  const again = await clientOf(after.server, keys)
  const looked = await again.get(key)
  expect(JSON.parse(looked?.value ?? '')).toMatchObject({ value: 3 })
})
