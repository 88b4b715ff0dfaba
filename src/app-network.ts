import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type AtServer, createAtServer } from './app.ts'
import { listenFor } from './app-listen.ts'
import type { AtSign } from './core/at-sign.ts'
import type { Clock } from './core/clock.ts'
import { type Log, withMembers } from './core/log.ts'
import { readKeysFile, writeKeysFile } from './crypto/keys-file.ts'
import { createResolver, type Resolver } from './directory/resolver.ts'
import { startDirectory } from './directory/server.ts'
import { createTable } from './directory/table.ts'
import { dialTls } from './net/dial.ts'
import { clientContext } from './net/tls-context.ts'
import { activate } from './provision/activation.ts'
import { type CertificateFiles, ensureAuthority, ensureCertificate } from './provision/files.ts'

/** One atSign of a private network. */
export interface NetworkMember {
  readonly atSign: AtSign
  readonly host: string
  readonly port: number
  readonly server: AtServer
  /** Path of the `.atKeys` file, once activated. */
  readonly keys?: string
  /** CRAM secret, while not activated. */
  readonly cram?: string
}

/** A whole private atPlatform: authority, directory, one atServer per atSign. */
export interface Network {
  readonly directory: { readonly host: string; readonly port: number }
  /** Path of the authority's certificate, which every client has to trust. */
  readonly ca: string
  readonly members: readonly NetworkMember[]
  close(): Promise<void>
}

export interface NetworkOptions {
  readonly atSigns: readonly AtSign[]
  /** Folder of everything: authority, certificates, keys, databases. Data in it is kept. */
  readonly directory: string
  /** Port of the directory; atServers take the ports behind it, in order. */
  readonly portBase: number
  readonly activate: boolean
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** Told about each step, for a progress display. */
  readonly progress?: (step: string) => void
}

const host = 'localhost'
const loopback = '127.0.0.1'
const names = [host, loopback]

type Close = () => Promise<unknown>
type Dial = (address: { host: string; port: number }) => Promise<Duplex>

/** Reads the keys of an activated atSign, or activates it and writes them before its secret goes. */
async function ensureKeys(server: AtServer, options: NetworkOptions): Promise<string> {
  const { atSign } = server
  const path = join(options.directory, 'keys', `${atSign}_key.atKeys`)
  const secret = await server.cramSecret()
  if (secret === undefined) {
    await readKeysFile(path, atSign)
    return path
  }
  options.progress?.(`activating ${atSign}`)
  const known = await readKeysFile(path, atSign).catch(() => undefined)
  await activate({
    atSign,
    secret,
    connect: async () => server.connect(),
    clock: options.clock,
    ...(known === undefined ? {} : { keys: known }),
    onKeys: (keys) => writeKeysFile(path, keys, { overwrite: true }),
  })
  return path
}

const pem = (path: string): Promise<string> => readFile(path, 'utf8')

/**
 * Starts a private network on loopback. Everything answers when it resolves; what was started is stopped when it fails.
 * @throws Error that names a busy port, a damaged keys file or an unusable folder
 */
export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const { directory, portBase, clock, log, progress } = options
  const closers: Close[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    await mkdir(join(directory, 'keys'), { recursive: true, mode: 0o700 })
    progress?.('certificate authority')
    const authority = await ensureAuthority(directory, 'atedge private network', clock.now())
    const certificate = await ensureCertificate(directory, authority, names, clock.now())
    const ca = await pem(authority.certificatePath)
    const table = createTable()
    const port = (index: number): number => portBase + 1 + index
    for (const [index, atSign] of options.atSigns.entries()) table.set(atSign, `${host}:${port(index)}`)
    progress?.('directory')
    const context = { cert: certificate.chain, key: certificate.key, ca }
    const listener = await startDirectory({ listen: { ...context, host: loopback, port: portBase }, table, clock, log })
    closers.push(() => listener.close())
    const secureContext = clientContext({ ca: [ca], cert: certificate.chain, key: certificate.key })
    const dial: Dial = (address) => dialTls({ ...address, context: secureContext, clock })
    const ask = (): Promise<Duplex> => dial({ host, port: listener.port })
    const resolver = createResolver({ clock, dial: ask, name: `${host}:${listener.port}` })
    closers.push(async () => resolver.close())
    const members: NetworkMember[] = []
    for (const [index, atSign] of options.atSigns.entries()) {
      progress?.(`atServer of ${atSign}`)
      members.push(await startMember(atSign, port(index), { options, certificate, ca, resolver, dial, closers }))
    }
    return { directory: { host, port: listener.port }, ca: authority.certificatePath, members, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startMember(
  atSign: AtSign,
  port: number,
  parts: {
    options: NetworkOptions
    certificate: CertificateFiles
    ca: string
    resolver: Resolver
    dial: Dial
    closers: Close[]
  },
): Promise<NetworkMember> {
  const { options, certificate, ca, dial, closers } = parts
  const { clock, log } = options
  const context = { cert: certificate.chain, key: certificate.key, ca }
  const server = await createAtServer({
    atSign,
    directory: join(options.directory, 'atservers', atSign),
    resolver: parts.resolver,
    dial,
    clock,
    log: withMembers(log, { atSign }),
    version: options.version,
    serverCertificate: () => ({ chain: certificate.chain }),
  })
  closers.push((await listenFor(server, { host: loopback, port, ...context, log })).close)
  const member = { atSign, host, port, server }
  if (options.activate) return { ...member, keys: await ensureKeys(server, options) }
  const cram = await server.cramSecret()
  return cram === undefined ? member : { ...member, cram }
}
