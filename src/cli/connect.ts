import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type AtClient, connectAtClient } from '../client/client.ts'
import { tlsTransport } from '../client/transport.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { systemClock } from '../core/clock.ts'
import { type AtKeys, defaultKeysPath, readKeysFile } from '../crypto/keys-file.ts'
import { endpointText, parseEndpoint } from '../directory/endpoint.ts'
import { dialAtSign, resolverFor } from '../directory/locate.ts'
import { type Link, replyData } from '../wire/link.ts'
import { readConfig } from './config.ts'
import type { Io } from './io.ts'

/** Options of every command that talks to an atServer. */
export interface ConnectOptions {
  readonly atsign?: string
  readonly keys?: string
  readonly rootServer?: string
  readonly server?: string
  readonly ca?: string
  readonly network?: string
  readonly config?: string
}

/** Where an atServer is and as whom to speak to it. */
export interface Target {
  readonly atSign: AtSign
  readonly keysPath: string
  /** Where the atServer of this atSign is; asks the directory unless the address was given. */
  readonly locate: () => Promise<{ host: string; port: number }>
  readonly dial: (address: { host: string; port: number }) => Promise<Duplex>
  /** Opens a connection to the atServer of this atSign. */
  readonly connect: () => Promise<Duplex>
  /** Opens a connection to the atServer of any atSign, found by the directory. */
  readonly connectTo: (atSign: AtSign) => Promise<Duplex>
  /**
   * Waits for the greeting. A proxy in front of many atServers is told first which one is meant, as newer SDKs do
   * (page 05, 3.6); a login begins with the same words.
   */
  readonly greet: (link: Link, atSign: AtSign) => Promise<void>
  readonly close: () => void
}

/** `host` or `host:port`. */
export function parseAddress(text: string, port: number): { host: string; port: number } {
  const match = /^([^:\s]+)(?::(\d{1,5}))?$/.exec(text)
  const given = match?.[2] === undefined ? port : Number(match[2])
  if (match?.[1] === undefined || given < 1 || given > 65_535) {
    throw new InvalidArgumentError(`"${text}" is not an address such as host:6464`)
  }
  return { host: match[1], port: given }
}

/** Adds the options that say where and as whom. */
export const withConnection = (command: Command): Command =>
  command
    .option('-a, --atsign <atSign>', 'atSign to act as')
    .option('-k, --keys <file>', 'its keys (default ~/.atsign/keys/<atSign>_key.atKeys)')
    .option(
      '-r, --root-server <address>',
      'atDirectory to ask, several with commas (default root.atsign.org:64), or proxy:host:port',
    )
    .option('--server <host:port>', 'address of the atServer, without asking a directory')
    .option('--ca <file>', 'certificate of a private authority to trust')
    .option('-n, --network <folder>', 'folder of `atedge network` or `atedge demo`: fills in all of the above but -a')
    .option('-c, --config <file>', 'configuration of the device on this machine: fills in all of the above')
    .addOption(new Option('--json', 'print JSON'))

/** The ready line that `atedge network` leaves in its folder. */
export interface NetworkFile {
  readonly directory: { readonly host: string; readonly port: number }
  readonly ca: string
  readonly atServers: readonly {
    readonly atSign: AtSign
    readonly host: string
    readonly port: number
    readonly keys?: string
  }[]
}

/** Name of that file. */
export const networkFileName = 'network.json'

async function readNetwork(folder: string): Promise<NetworkFile> {
  const path = join(folder, networkFileName)
  const text = await readFile(path, 'utf8').catch(() => {
    throw new Error(`${path} is missing: start \`atedge network --data ${folder}\` or \`atedge demo\` first`)
  })
  return JSON.parse(text) as NetworkFile
}

interface Place {
  readonly atSign: string | undefined
  readonly keysPath: string | undefined
  readonly caPath: string | undefined
  /** Addresses of the directory, as people write them. */
  readonly directory: readonly string[]
  readonly server: { host: string; port: number } | undefined
  /** Name in the certificate of the device on this machine, and the hosts under which it is dialled from here. */
  readonly local?: { readonly name: string; readonly hosts: readonly string[] }
}

/** Where a listener of this machine is dialled: over loopback, unless it listens on one address alone. */
const hostFromHere = (listensOn: string): string => (/^(?:::|0\.0\.0\.0)$/.test(listensOn) ? 'localhost' : listensOn)

async function placeOf(options: ConnectOptions): Promise<Place> {
  const standard = ['root.atsign.org:64']
  if (options.network !== undefined) {
    const network = await readNetwork(resolve(options.network))
    const wanted = options.atsign === undefined ? undefined : parseAtSign(options.atsign)
    const member = network.atServers.find(({ atSign }) => atSign === wanted)
    return {
      atSign: wanted,
      keysPath: member?.keys,
      caPath: network.ca,
      directory: [`${network.directory.host}:${network.directory.port}`],
      server: undefined,
    }
  }
  if (options.config !== undefined) {
    const { atSign, bridge, dataDir, certificates, listen, ...config } = await readConfig(options.config)
    const caPath = certificates.chain === undefined ? join(dataDir, 'ca.pem') : certificates.ca
    const { enabled, port } = config.directory
    const [near, nearDirectory] = [hostFromHere(listen.host), hostFromHere(config.directory.host)]
    const directory = enabled ? [endpointText({ host: nearDirectory, port })] : config.rootServer.addresses
    const server = { host: near, port: listen.port }
    const hosts = enabled ? [near, nearDirectory] : [near]
    return { atSign, keysPath: bridge.keys, caPath, directory, server, local: { name: config.host, hosts } }
  }
  return { atSign: options.atsign, keysPath: undefined, caPath: undefined, directory: standard, server: undefined }
}

/** Puts options, network folder and configuration together. @throws Error that names what is missing */
export async function findTarget(options: ConnectOptions, io: Io): Promise<Target> {
  const place = await placeOf(options)
  const named = options.atsign ?? place.atSign
  if (named === undefined) throw new Error('say which atSign to act as: -a @alice')
  const atSign = parseAtSign(named)
  const caPath = options.ca ?? place.caPath
  const ca = caPath === undefined ? undefined : await readFile(caPath, 'utf8')
  const transport = tlsTransport(ca, systemClock)
  const { local } = place
  const dial: Target['dial'] = (address) =>
    transport(local?.hosts.includes(address.host) ? { ...address, servername: local.name } : address)
  const directory = options.rootServer === undefined ? place.directory : options.rootServer.split(',')
  const resolver = resolverFor(directory, { clock: systemClock, dial })
  const server = options.server === undefined ? place.server : parseAddress(options.server, 6464)
  const isProxied = directory.some((address) => parseEndpoint(address).proxy)
  const locate = async (other: AtSign): Promise<{ host: string; port: number }> =>
    other === atSign && server !== undefined ? server : resolver.resolve(other)
  const connectTo = async (other: AtSign): Promise<Duplex> =>
    other === atSign && server !== undefined ? dial(server) : dialAtSign(resolver, dial, other)
  return {
    atSign,
    keysPath: options.keys ?? place.keysPath ?? defaultKeysPath(io.home, atSign),
    locate: () => locate(atSign),
    dial,
    connect: () => connectTo(atSign),
    connectTo,
    async greet(link, other) {
      await link.ready
      if (isProxied) replyData(await link.request(`from:${other}`))
    },
    close: () => resolver.close(),
  }
}

/** The keys of a target. @throws Error that says what to do when there are none */
export async function readKeys({ keysPath, atSign }: Target): Promise<AtKeys> {
  try {
    return await readKeysFile(keysPath, atSign)
  } catch (error) {
    if (error instanceof Error && error.message.includes('ENOENT')) {
      throw new Error(`there are no keys at ${keysPath}: activate ${atSign} first, or name its .atKeys file with -k`)
    }
    throw error
  }
}

/** Logs in, runs `work` with the client, and hangs up whatever comes of it. */
export async function withClient<T>(
  options: ConnectOptions,
  io: Io,
  work: (client: AtClient) => Promise<T>,
): Promise<T> {
  const target = await findTarget(options, io)
  const keys = await readKeys(target)
  const client = await connectAtClient({ atSign: target.atSign, keys, connect: target.connect, clock: systemClock })
  try {
    return await work(client)
  } finally {
    await client.close()
    target.close()
  }
}
