import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AtSign } from '../../src/core/at-sign.ts'
import { createAuthority } from '../../src/provision/authority.ts'
import { issueCertificate } from '../../src/provision/certificate.ts'
import { mannerOf } from './crowd.ts'
import { type Running, startMachine } from './machine.ts'
import type { Command, Machine } from './process.ts'
import type { Impairment } from './proxy.ts'

// Several atServers, each a process in a network namespace of its own, around a hub that routes between them and holds the
// directory. No packet leaves these namespaces: they have no way out.

/** What the kernel of this machine can do. */
export interface Abilities {
  /** Namespaces with a cable between each; without them all is on loopback behind proxies. */
  readonly namespaces: boolean
  /** Delay and loss by the kernel; without it by proxies. */
  readonly netem: boolean
}

export interface World {
  readonly abilities: Abilities
  ask(atSign: AtSign, line: string): Promise<string>
  received(atSign: AtSign): Promise<string[]>
  logged(atSign: AtSign): Promise<string[]>
  /** Notifications that each peer of the crowd has taken. */
  counts(): Promise<number[]>
  /** Makes the lines of an atServer slow and lossy, or good again. */
  impair(atSign: AtSign, line: { delayMs: number; lossShare: number }): Promise<void>
  /** Swallows every packet to an atServer, or none any more. */
  cut(atSign: AtSign, isCut: boolean): Promise<void>
  directory(on: boolean): Promise<void>
  /** Has the crowd open connections to an atServer that say nothing; resolves when the last one is open. */
  flood(atSign: AtSign, count: number): Promise<void>
  /** Has the crowd call an atServer so often as one of its peers, with the certificate of another machine. @returns what it was told */
  pose(atSign: AtSign, as: AtSign, times: number): Promise<string[]>
  close(): Promise<void>
}

/** @returns false when the kernel or the rights of this user do not allow it */
function run(...words: string[]): boolean {
  const [program = '', ...args] = words
  try {
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    return true
  } catch {
    return false
  }
}

function must(...words: string[]): void {
  if (!run(...words)) throw new Error(`failed: ${words.join(' ')}`)
}

/** Looks what can be done here, in a namespace that is removed again. */
function findAbilities(): Abilities {
  const name = `atedge-try-${process.pid}`
  const inside = (...words: string[]): boolean => run('ip', 'netns', 'exec', name, ...words)
  const made = run('ip', 'netns', 'add', name)
  const namespaces = made && inside('ip', 'link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'a1')
  const netem = namespaces && inside('tc', 'qdisc', 'add', 'dev', 'a0', 'root', 'netem', 'delay', '1ms')
  if (made) run('ip', 'netns', 'del', name)
  return { namespaces, netem }
}

const prefix = '10.231'
const hubAddress = `${prefix}.0.1`
const atServerPort = 6464
const directoryPort = 6400
const firstProxyPort = 7_000
const firstCrowdPort = 20_000

interface Place {
  readonly host: string
  readonly port: number
}

/** An atServer or a crowd, where it listens, and where others find it: there, or at a proxy in front of it. */
interface Node {
  readonly name: AtSign
  readonly namespace: string
  readonly listen: Place
  readonly shown: Place
}

const hubNamespace = `atedge-${process.pid}-hub`

/** Lays a cable between the hub and a machine, and tells both the way. */
function lay(index: number, namespace: string): void {
  const [near, far] = [`v${index}h`, `v${index}m`]
  const subnet = `${prefix}.${index}`
  const inHub = ['ip', '-n', hubNamespace]
  const inside = ['ip', '-n', namespace]
  must('ip', 'netns', 'add', namespace)
  must(...inHub, 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', namespace)
  must(...inHub, 'addr', 'add', `${subnet}.1/24`, 'dev', near)
  must(...inside, 'addr', 'add', `${subnet}.2/24`, 'dev', far)
  for (const words of [
    [...inHub, 'link', 'set', near, 'up'],
    [...inside, 'link', 'set', far, 'up'],
    [...inside, 'link', 'set', 'lo', 'up'],
    [...inside, 'route', 'add', 'default', 'via', `${subnet}.1`],
  ]) {
    must(...words)
  }
}

function layHub(): void {
  must('ip', 'netns', 'add', hubNamespace)
  must('ip', '-n', hubNamespace, 'link', 'set', 'lo', 'up')
  must('ip', '-n', hubNamespace, 'addr', 'add', `${hubAddress}/32`, 'dev', 'lo')
  must('ip', 'netns', 'exec', hubNamespace, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
}

/** Where everything is, by what this machine can do. Ports on loopback are drawn at random. */
function plan(names: readonly AtSign[], { namespaces, netem }: Abilities): { directory: Place; nodes: Node[] } {
  const base = 20_000 + Math.floor(Math.random() * 35_000)
  const directory = namespaces ? { host: hubAddress, port: directoryPort } : { host: '127.0.0.1', port: base }
  const nodes = names.map((name, index): Node => {
    const listen = namespaces
      ? { host: `${prefix}.${index + 1}.2`, port: atServerPort }
      : { host: '127.0.0.1', port: base + 1 + index }
    const proxy = namespaces
      ? { host: hubAddress, port: firstProxyPort + index }
      : { host: '127.0.0.1', port: base + 100 + index }
    return { name, namespace: `atedge-${process.pid}-${index}`, listen, shown: netem ? listen : proxy }
  })
  return { directory, nodes }
}

/** Each has a certificate of its own, which names where others find it. */
async function issueAll(nodes: readonly Node[], directory: Place) {
  const now = Date.now()
  const authority = await createAuthority({ name: 'namespaces', now })
  const issue = async (...names: string[]) => {
    const issued = await issueCertificate(authority, { names: [...new Set(names)], now })
    return { ...issued, ca: authority.certificate }
  }
  const [hub, elsewhere, ...others] = await Promise.all([
    issue(directory.host),
    issue('elsewhere.lan'),
    ...nodes.map(({ shown, listen }) => issue(shown.host, listen.host)),
  ])
  return { hub, elsewhere, others }
}

/**
 * Starts a directory, atServers and a crowd of peers `@p0`, `@p1`, … in one more machine.
 * @throws Error that names the command that failed
 */
export async function startWorld(options: { members: readonly AtSign[]; crowd: number }): Promise<World> {
  const { members, crowd } = options
  const abilities = findAbilities()
  const { namespaces, netem } = abilities
  const { directory, nodes } = plan([...members, '@crowd'], abilities)
  const folder = await mkdtemp(join(tmpdir(), 'atedge-netns-'))
  const running = new Map<string, Running>()
  const made = [hubNamespace, ...nodes.map(({ namespace }) => namespace)]

  const close = async (): Promise<void> => {
    await Promise.all([...running.values()].map((machine) => machine.stop()))
    if (namespaces) for (const name of made) run('ip', 'netns', 'del', name)
    await rm(folder, { recursive: true, force: true })
  }

  const launch = async (): Promise<void> => {
    if (namespaces) {
      layHub()
      for (const [index, { namespace }] of nodes.entries()) lay(index + 1, namespace)
    }
    const { hub, elsewhere, others } = await issueAll(nodes, directory)
    const crowdNode = nodes.at(-1)
    if (hub === undefined || elsewhere === undefined || crowdNode === undefined) {
      throw new Error('there is no hub or no crowd')
    }
    const addressOf = ({ host, port }: Place): string => `${host}:${port}`
    const crowdPort = namespaces ? firstCrowdPort : crowdNode.listen.port + 200
    const peers = Array.from({ length: crowd }, (_, index) => [
      `@p${index}`,
      `${crowdNode.listen.host}:${crowdPort + index}`,
    ])
    const entries = Object.fromEntries([...nodes.map(({ name, shown }) => [name, addressOf(shown)]), ...peers])
    const proxies = netem
      ? {}
      : Object.fromEntries(nodes.map(({ name, listen, shown }) => [name, { listen: shown, to: listen }]))
    const start = async (name: string, namespace: string, machine: Machine): Promise<void> => {
      const file = join(folder, `${name}.json`)
      running.set(name, await startMachine(machine, file, namespaces ? namespace : undefined))
    }
    await start('hub', hubNamespace, { role: 'hub', trust: hub, directory, entries, proxies })
    await Promise.all(
      nodes.map(async ({ name, namespace, listen }, index) => {
        const trust = others[index] ?? hub
        const store = join(folder, name)
        await mkdir(store)
        if (name !== crowdNode.name)
          await start(name, namespace, { role: 'member', trust, atSign: name, folder: store, listen, directory })
        else
          await start(name, namespace, {
            ...{ role: 'crowd', trust, others: elsewhere, host: listen.host, firstPort: crowdPort, count: crowd },
          })
      }),
    )
  }

  try {
    await launch()
  } catch (error) {
    await close()
    throw error
  }

  const command = (name: string, what: Command): Promise<unknown> => {
    const machine = running.get(name)
    if (machine === undefined) throw new Error(`there is no ${name}`)
    return machine.command(what)
  }
  const throughProxy = (name: AtSign, impairment: Impairment): Promise<unknown> =>
    command('hub', { do: 'impair', name, impairment })
  const nodeOf = (name: AtSign): { node: Node; index: number } => {
    const index = nodes.findIndex((candidate) => candidate.name === name)
    const node = nodes[index]
    if (node === undefined) throw new Error(`there is no ${name}`)
    return { node, index: index + 1 }
  }

  return {
    ...{ abilities, close },
    ask: async (atSign, line) => String(await command(atSign, { do: 'ask', line })),
    received: async (atSign) => (await command(atSign, { do: 'received' })) as string[],
    logged: async (atSign) => (await command(atSign, { do: 'logged' })) as string[],
    counts: async () => (await command('@crowd', { do: 'counts' })) as number[],
    directory: async (on) => void (await command('hub', { do: 'directory', on })),
    flood: async (atSign, count) =>
      void (await command('@crowd', { do: 'flood', to: nodeOf(atSign).node.listen, count })),
    pose: async (atSign, as, times) =>
      (await command('@crowd', { do: 'pose', to: nodeOf(atSign).node.listen, as, times })) as string[],
    async impair(atSign, { delayMs, lossShare }) {
      const { node, index } = nodeOf(atSign)
      if (!netem) return void (await throughProxy(atSign, { delayMs, lossShare, isCut: false }))
      const worse = ['netem', 'delay', `${delayMs}ms`, 'loss', `${lossShare * 100}%`]
      for (const [namespace, device] of [
        [hubNamespace, `v${index}h`],
        [node.namespace, `v${index}m`],
      ] as const) {
        const qdisc = (...words: string[]): string[] => ['ip', 'netns', 'exec', namespace, 'tc', 'qdisc', ...words]
        run(...qdisc('del', 'dev', device, 'root'))
        if (delayMs > 0 || lossShare > 0) must(...qdisc('add', 'dev', device, 'root', ...worse))
      }
    },
    async cut(atSign, isCut) {
      const { index } = nodeOf(atSign)
      if (!namespaces) return void (await throughProxy(atSign, { delayMs: 0, lossShare: 0, isCut }))
      const route = ['ip', '-n', hubNamespace, 'route']
      if (isCut) must(...route, 'add', 'blackhole', `${prefix}.${index}.2/32`)
      else must(...route, 'del', 'blackhole', `${prefix}.${index}.2/32`)
    },
  }
}

/** Peers of a crowd that behave well, by number. */
export const wellBehaved = (count: number): number[] =>
  Array.from({ length: count }, (_, index) => index).filter((index) => mannerOf(index) === 'well')
