import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAtKey } from '../../src/core/at-key.ts'
import { type AtSign, parseAtSign } from '../../src/core/at-sign.ts'
import { systemClock } from '../../src/core/clock.ts'
import { openStore } from '../../src/store/store.ts'
import { type Target, trustOnly } from './load.ts'
import { type Owner, readOwner } from './login.ts'
import { freePorts, type Program, type World } from './world.ts'

/** Everything that the programs share: made once, before anything is measured. */
export interface Fixture {
  readonly world: World
  /** Path of the bundle. */
  readonly bundle: string
  /** Where profiles of our programs go; nowhere unless told. */
  readonly profiles: string | undefined
  readonly files: CertificatePaths
  readonly trust: Target['trust']
}

export interface CertificatePaths {
  readonly ca: string
  readonly chain: string
  readonly key: string
}

const atSigns = ['@alice', '@bob', '@device', '@peer', '@many', '@few', '@lots'] as const

/** Owners of stores that are filled before anything is measured. */
export type GrowthName = '@many' | '@few' | '@lots'
const networkFolder = (world: World): string => join(world.folder, 'network')
const keysOf = (world: World, atSign: string): string => join(networkFolder(world), 'keys', `${atSign}_key.atKeys`)
const storeOf = (world: World, atSign: string): string => join(networkFolder(world), 'atservers', atSign)

/** How the shipped systemd unit starts Node: its options and environment. */
async function unitSettings(): Promise<{ options: string[]; env: Record<string, string> }> {
  const unit = await readFile(join(import.meta.dirname, '../../board/systemd/atedge.service'), 'utf8')
  const start = /^ExecStart=\S+((?: --\S+)*) \S+\.mjs/m.exec(unit)?.[1]
  if (start === undefined) throw new Error('board/systemd/atedge.service has no ExecStart of Node')
  const env = [...unit.matchAll(/^Environment=(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value])
  return { options: start.split(' ').filter((option) => option !== ''), env: Object.fromEntries(env) }
}

/** Starts the shipped program as the shipped unit does. @param profiled with its CPU profile written when it ends, if profiles are wanted */
export async function startAtedge(
  fixture: Omit<Fixture, 'trust'>,
  args: readonly string[],
  ready: RegExp,
): Promise<Program> {
  const { world, bundle, profiles } = fixture
  const profiling = profiles === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profiles]
  const { options, env } = await unitSettings()
  return world.start(process.execPath, [...options, ...profiling, bundle, ...args], ready, env)
}

async function startNetwork(fixture: Omit<Fixture, 'trust'>, names: readonly string[]) {
  const portBase = await freePorts(names.length + 1)
  const options = ['--atsigns', names.join(','), '--data', networkFolder(fixture.world), '--port-base', `${portBase}`]
  const program = await startAtedge(fixture, ['network', ...options, '--json'], /"event":"ready"/)
  return { program, portBase }
}

/** Lets the program make certificates and activate every atSign, and ends it again. */
export async function prepare(world: World, bundle: string, profiles: string | undefined): Promise<Fixture> {
  const folder = networkFolder(world)
  const files = { ca: join(folder, 'ca.pem'), chain: join(folder, 'fullchain.pem'), key: join(folder, 'privkey.pem') }
  const { program } = await startNetwork({ world, bundle, profiles: undefined, files }, atSigns)
  await program.stop()
  const trust = trustOnly(await readFile(files.ca, 'utf8'))
  return { world, bundle, profiles, files, trust }
}

/** The private network with @alice in it. */
export async function startAlice(fixture: Fixture): Promise<{ program: Program; target: Target; owner: Owner }> {
  const { program, portBase } = await startNetwork(fixture, ['@alice', '@bob'])
  const owner = await readOwner(keysOf(fixture.world, '@alice'), parseAtSign('@alice'))
  return { program, target: { port: portBase + 1, trust: fixture.trust }, owner }
}

/** A device at work, and who may log in to it. */
export interface RunningDevice {
  readonly program: Program
  readonly target: Target
  readonly brokerPort: number
  readonly owner: Owner
}

/** Rules of four kinds of readings: told to a peer, kept for oneself, told without a record, and told to whoever listens. */
const rules = [
  { topic: 'sensors/+place/+quantity', key: '{quantity}.{place}', format: 'raw', recipients: ['@peer'] },
  { topic: 'own/+name', key: '{name}.own', format: 'raw', recipients: ['self'] },
  { topic: 'told/+name', key: '{name}.told', format: 'raw', recipients: ['@peer'], update: false, notify: true },
  { topic: 'live/+name', key: '{name}.live', format: 'raw', recipients: ['@peer'], update: false, notify: 'ephemeral' },
]

async function writeConfig(fixture: Fixture, atSign: AtSign, settings: Record<string, unknown>): Promise<string> {
  const { world, files } = fixture
  const dataDir = join(world.folder, atSign.slice(1))
  const store = join(dataDir, 'store')
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  // Absent on the second start.
  await rename(storeOf(world, atSign), store).catch(() => undefined)
  const config = join(dataDir, 'atedge.yaml')
  const whole = { atSign, dataDir, host: 'localhost', certificates: files, ...settings }
  await writeFile(config, JSON.stringify(whole))
  return config
}

/** Starts a device with everything on: atServer, directory, broker, bridge and host readings. */
export async function startDevice(
  fixture: Fixture,
  name: '@device' | GrowthName,
  options: { peerPort?: number; entries?: Readonly<Record<string, string>>; until?: RegExp } = {},
): Promise<RunningDevice & { directoryPort: number }> {
  const atSign = parseAtSign(name)
  const [host, port] = ['127.0.0.1', await freePorts(3)]
  const [directoryPort, brokerPort] = [port + 1, port + 2]
  const config = await writeConfig(fixture, atSign, {
    listen: { host, port },
    directory: {
      enabled: true,
      host,
      port: directoryPort,
      entries: { '@peer': `localhost:${options.peerPort ?? 1}`, ...options.entries },
    },
    bridge: { keys: keysOf(fixture.world, name), broker: { host, port: brokerPort }, rules },
  })
  const ready = options.until ?? /the bridge takes MQTT messages/
  const program = await startAtedge(fixture, ['serve', '-c', config], ready)
  const owner = await readOwner(keysOf(fixture.world, name), atSign)
  return { program, target: { port, trust: fixture.trust }, brokerPort, owner, directoryPort }
}

/** Starts the atServer of somebody who listens to the device. */
export async function startPeer(
  fixture: Fixture,
  ports: { own: number; directory: number },
): Promise<{ program: Program; target: Target; owner: Owner }> {
  const atSign = parseAtSign('@peer')
  const config = await writeConfig(fixture, atSign, {
    listen: { host: '127.0.0.1', port: ports.own },
    rootServer: { addresses: [`localhost:${ports.directory}`] },
    bridge: { enabled: false },
    health: { enabled: false },
  })
  const program = await startAtedge(fixture, ['serve', '-c', config], /atServer listens/)
  const owner = await readOwner(keysOf(fixture.world, '@peer'), atSign)
  return { program, target: { port: ports.own, trust: fixture.trust }, owner }
}

const batchSize = 1_000

/** Writes records into a store while nobody runs it: 200 characters that compress as little as what is encrypted. */
export async function fillStore({ world }: Fixture, name: GrowthName, count: number): Promise<void> {
  const atSign = parseAtSign(name)
  const store = await openStore({ directory: storeOf(world, atSign), atSign, clock: systemClock })
  const opTime = Date.now()
  const metadata = { createdAt: opTime, updatedAt: opTime, version: 0 }
  for (let from = 0; from < count; from += batchSize) {
    await store.write(async (tx) => {
      for (let index = from; index < Math.min(from + batchSize, count); index++) {
        const key = parseAtKey(`reading${String(index).padStart(7, '0')}.bench${atSign}`)
        const value = randomBytes(150).toString('base64')
        await tx.putRecord(key, { value, metadata }, { operation: '*', opTime, commit: true })
      }
    })
  }
  await store.close()
}
