import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'
import { createAtServer } from '../../src/app.ts'
import { listenFor } from '../../src/app-listen.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { type Log, silent } from '../../src/core/log.ts'
import { cramDigest } from '../../src/crypto/challenge.ts'
import { createResolver } from '../../src/directory/resolver.ts'
import { type Directory, startDirectory } from '../../src/directory/server.ts'
import { createTable } from '../../src/directory/table.ts'
import { dialTls } from '../../src/net/dial.ts'
import { clientContext } from '../../src/net/tls-context.ts'
import { type Client, clientOf } from '../support/client.ts'
import { flood, pose, startCrowd } from './crowd.ts'
import { type Impairment, startProxy } from './proxy.ts'

// One machine of the test network: a hub with the directory, an atServer, or a crowd of peers. Takes commands as JSON lines
// on standard input and answers each with one on standard output; ends with its standard input.

interface Place {
  readonly host: string
  readonly port: number
}

interface Trust {
  readonly chain: string
  readonly key: string
  readonly ca: string
}

/** What such a process is told, in a file. */
export type Machine =
  | {
      readonly role: 'hub'
      readonly trust: Trust
      readonly directory: Place
      readonly entries: Readonly<Record<string, string>>
      /** Impairing proxies in front of the others, by name. */
      readonly proxies: Readonly<Record<string, { readonly listen: Place; readonly to: Place }>>
    }
  | {
      readonly role: 'member'
      readonly trust: Trust
      readonly atSign: AtSign
      readonly folder: string
      readonly listen: Place
      readonly directory: Place
    }
  | {
      readonly role: 'crowd'
      readonly trust: Trust
      /** Certificate of another machine. */
      readonly others: Trust
      readonly host: string
      readonly firstPort: number
      readonly count: number
    }

/** A command and what it needs. */
export type Command =
  | { readonly do: 'ask'; readonly line: string }
  /** What the monitor of this atServer has shown. */
  | { readonly do: 'received' }
  | { readonly do: 'logged' }
  | { readonly do: 'directory'; readonly on: boolean }
  | { readonly do: 'impair'; readonly name: string; readonly impairment: Impairment }
  /** Notifications that each peer of a crowd has taken. */
  | { readonly do: 'counts' }
  /** Opens connections that say nothing. */
  | { readonly do: 'flood'; readonly to: Place; readonly count: number }
  /** Calls as somebody else. */
  | { readonly do: 'pose'; readonly to: Place; readonly as: AtSign; readonly times: number }

type Answerer = (command: Command) => Promise<unknown>

const unknownCommand = (command: Command): never => {
  throw new Error(`this machine does not know ${command.do}`)
}

async function startHub(machine: Extract<Machine, { role: 'hub' }>): Promise<Answerer> {
  const { trust, directory, entries, proxies } = machine
  const table = createTable(Object.entries(entries))
  const context = { cert: trust.chain, key: trust.key, ca: trust.ca }
  const open = (): Promise<Directory> =>
    startDirectory({ table, clock, log: silent, listen: { ...context, ...directory } })
  let running: Directory | undefined = await open()
  const impairing = new Map<string, (impairment: Impairment) => void>()
  for (const [name, { listen, to }] of Object.entries(proxies)) impairing.set(name, await startProxy(listen, to))
  return async (command) => {
    if (command.do === 'impair') impairing.get(command.name)?.(command.impairment)
    else if (command.do !== 'directory') unknownCommand(command)
    else if (command.on) running ??= await open()
    else {
      await running?.close()
      running = undefined
    }
    return true
  }
}

async function startMember(machine: Extract<Machine, { role: 'member' }>): Promise<Answerer> {
  const { trust, atSign, folder, listen, directory } = machine
  const logged: string[] = []
  const log: Log = (level, message, members) => {
    if (level !== 'debug') logged.push(`${message} ${JSON.stringify(members)}`)
  }
  const secureContext = clientContext({ ca: [trust.ca], cert: trust.chain, key: trust.key })
  const dial = (address: Place): Promise<Duplex> => dialTls({ ...address, context: secureContext, clock })
  const resolver = createResolver({ clock, dial: () => dial(directory), name: 'atDirectory' })
  const server = await createAtServer({
    ...{ atSign, directory: folder, resolver, dial, clock, log, version: 'test' },
    federation: { clientCertificate: 'required', clientPurpose: 'strict' },
    // What takes a day elsewhere.
    refreshTimes: { firstMs: 500, roundMs: 1_000, spreadMs: 100, longestPauseMs: 50, retryMs: 500 },
  })
  await listenFor(server, { ...listen, cert: trust.chain, key: trust.key, ca: trust.ca, log })
  const secret = (await server.cramSecret()) ?? ''
  const login = async (): Promise<Client> => {
    const client = clientOf(server.connect())
    await client.take(/^@/)
    const challenge = (await client.ask(`from:${atSign}`)).replace(/^data:/, '').replace(/\n.*$/s, '')
    await client.ask(`cram:${cramDigest(secret, challenge)}`)
    return client
  }
  const received: string[] = []
  const monitor = await login()
  monitor.write('monitor\n')
  void (async () => {
    for (;;) {
      const json = /^notification: (.*)\n$/.exec(await monitor.line())?.[1]
      if (json === undefined) continue
      const { id, value } = JSON.parse(json) as { id: string; value: string | null }
      if (id !== '-1') received.push(value ?? '')
    }
  })()
  return async (command) => {
    if (command.do === 'received') return received
    if (command.do === 'logged') return logged
    if (command.do !== 'ask') return unknownCommand(command)
    const owner = await login()
    const reply = await owner.ask(command.line)
    owner.leave()
    return reply
  }
}

async function start(machine: Machine): Promise<Answerer> {
  if (machine.role === 'hub') return startHub(machine)
  if (machine.role === 'member') return startMember(machine)
  const counts = await startCrowd(machine)
  return async (command) => {
    if (command.do === 'flood') return flood(command.to, command.count)
    if (command.do === 'pose') return pose(command.to, command.as, command.times, machine.others)
    return command.do === 'counts' ? counts() : unknownCommand(command)
  }
}

const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

const path = process.argv[2]
if (path !== undefined) {
  const answer = await start(JSON.parse(await readFile(path, 'utf8')) as Machine)
  say({ ready: true })
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => {
    const { id, ...command } = JSON.parse(line) as Command & { id: number }
    answer(command as Command).then(
      (value) => say({ id, value }),
      (error: unknown) => say({ id, error: String(error) }),
    )
  })
  lines.on('close', () => process.exit(0))
}
