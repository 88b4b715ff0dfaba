import { endpointText } from './endpoint.ts'
import { openRedis, type RedisConnection, type RedisSettings } from './redis-connection.ts'
import type { Address } from './table.ts'

/** A connection and what stands at its other end. */
export interface RedisServer {
  readonly connection: RedisConnection
  readonly address: Address
  readonly isPrimary: boolean
}

/** Key-space events of strings, removals, expiry and eviction. */
export const neededEvents = 'Kg$xe'
/** What the flag `A` stands for. */
const allEvents = 'g$lshzxetd'

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 200)

/** @returns where the Sentinels say that the primary is. @throws Error when none of them knows */
async function askSentinels(settings: RedisSettings): Promise<Address> {
  const { dial, clock, sentinelUsername: username, sentinelPassword: password } = settings
  const failures: string[] = []
  for (const sentinel of settings.sentinels) {
    try {
      const connection = await openRedis(sentinel, { dial, clock, username, password })
      const asked = connection.run('SENTINEL', 'get-master-addr-by-name', settings.primary)
      const found = await asked.finally(connection.close)
      if (Array.isArray(found)) return { host: String(found[0]), port: Number(found[1]) }
      failures.push(`${endpointText(sentinel)} knows no primary "${settings.primary}"`)
    } catch (error) {
      failures.push(reasonOf(error))
    }
  }
  throw new Error(failures.join('; '))
}

/** @returns whether a server is a primary. @throws Error while it cannot serve: it loads its data, or lost its primary */
export async function isPrimary(connection: RedisConnection): Promise<boolean> {
  const [role] = await Promise.all([connection.run('ROLE'), connection.run('EXISTS', 'alice')])
  return Array.isArray(role) && role[0] === 'master'
}

/**
 * Connects to the primary, or to a replica while there is none.
 * @throws Error that names every server and why it cannot be used
 */
export async function findServer(settings: RedisSettings): Promise<RedisServer> {
  const addresses = settings.sentinels.length > 0 ? [await askSentinels(settings)] : settings.servers
  let replica: RedisServer | undefined
  const failures: string[] = []
  for (const address of addresses) {
    let connection: RedisConnection | undefined
    try {
      connection = await openRedis(address, settings, { database: settings.database })
      if (await isPrimary(connection)) {
        replica?.connection.close()
        return { connection, address, isPrimary: true }
      }
      if (replica === undefined) replica = { connection, address, isPrimary: false }
      else connection.close()
    } catch (error) {
      connection?.close()
      failures.push(reasonOf(error))
    }
  }
  if (replica === undefined) throw new Error(failures.join('; '))
  return replica
}

async function eventFlags(connection: RedisConnection): Promise<string> {
  const answer = await connection.run('CONFIG', 'GET', 'notify-keyspace-events')
  return Array.isArray(answer) ? String(answer[1] ?? '') : ''
}

const suffice = (flags: string): boolean => {
  const present = flags.replace('A', allEvents)
  return [...neededEvents].every((flag) => present.includes(flag))
}

/** Whether Redis still tells about changes of keys: others may have set it otherwise. */
export async function tellsOfKeys(connection: RedisConnection): Promise<boolean> {
  return suffice(await eventFlags(connection))
}

/** Has Redis tell about changes of keys, in addition to what it tells already. @throws Error where that is not allowed */
async function askForEvents(connection: RedisConnection): Promise<void> {
  const flags = await eventFlags(connection)
  if (suffice(flags)) return
  await connection.run('CONFIG', 'SET', 'notify-keyspace-events', [...new Set(`${flags}${neededEvents}`)].join(''))
}

/**
 * Listens to key-space events on a connection of its own.
 * @returns undefined where Redis neither tells of changes nor lets itself be told to, as managed services and careful access
 *   lists do
 */
export async function listenToKeys(
  { connection, address }: RedisServer,
  settings: RedisSettings,
  onKey: (key: string) => void,
): Promise<RedisConnection | undefined> {
  const prefix = `__keyspace@${settings.database}__:`
  let subscriber: RedisConnection | undefined
  try {
    await askForEvents(connection)
    const onMessage = ([, , channel]: readonly unknown[]): void => onKey(String(channel).slice(prefix.length))
    subscriber = await openRedis(address, settings, { onMessage })
    await subscriber.run('PSUBSCRIBE', `${prefix}*`)
    return subscriber
  } catch {
    subscriber?.close()
    return undefined
  }
}
