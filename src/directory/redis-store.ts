import { type AtSign, bareName, parseAtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { RespValue } from '../wire/resp.ts'
import { endpointText } from './endpoint.ts'
import type { Entry, EntryStore } from './entries.ts'
import type { RedisSettings } from './redis-connection.ts'
import { createHosts, hostOf } from './redis-hosts.ts'
import { createRedisLink, type RedisSession } from './redis-link.ts'
import { parseAddress } from './table.ts'

// Entries in Redis or Valkey, in the reference's data model (page 05, 3.3): one string a key, the key being the atSign in
// lower case without `@`, the value `host:port`. Several directories answer from one replicated Redis.

/** While Redis tells of every change but the flush of a database, which no event announces. */
const notifiedMs = 60_000
/** While Redis does not tell. */
const untoldMs = 5_000
const mostRemembered = 50_000
/** Longer values are no addresses and are not fetched whole. */
const longestValue = 300
const pageKeys = 500
const replicaMs = 500
/** In place of the number of a session. */
const doubted = 0

/** Sets a key that has the value it is thought to have. */
const replaceScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return 1 end return 0`

/** Deletes a key that has the value it is thought to have. */
const removeScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`

interface Known {
  readonly address: string | undefined
  readonly since: number
  /** Counts sessions from 1: what an earlier one said, or a doubtful one, is used only while there is none. */
  readonly session: number
}

interface Question {
  readonly answer: Promise<string | undefined>
  /** The key changed since it was asked for. */
  outdated: boolean
}

const away = (cause?: unknown): AtError => {
  const reason = cause instanceof Error ? `: ${cause.message}` : ''
  return new AtError('AT0021', `Redis does not answer${reason}`, { cause })
}

/** A value as an address; anything else is none. */
const addressOf = (value: RespValue): string | undefined =>
  typeof value === 'string' && parseAddress(value) !== undefined ? value : undefined

/**
 * Gives a replica, where there is one, half a second to have the change too: one that takes over soon would not know it.
 * Whether it had the time or not, the change stands.
 */
async function awaitReplica({ connection }: RedisSession): Promise<void> {
  try {
    const role = await connection.run('ROLE')
    const replicas = Array.isArray(role) ? role[2] : undefined
    if (Array.isArray(replicas) && replicas.length > 0) await connection.run('WAIT', 1, replicaMs)
  } catch {
    // A careful access list may forbid it.
  }
}

/** The atSign that a key names, or undefined for keys of something else. */
function atSignOf(key: string): AtSign | undefined {
  try {
    const atSign = parseAtSign(key)
    return bareName(atSign) === key ? atSign : undefined
  } catch {
    return undefined
  }
}

/**
 * @param options `own` are entries of this process, written at each new session: names and `host:port`
 * @returns at once; `ready` resolves after the first attempt to connect
 */
export function createRedisStore(options: {
  settings: RedisSettings
  log: Log
  own?: readonly (readonly [AtSign, string])[]
}): EntryStore & { readonly ready: Promise<void> } {
  const { settings, log, own = [] } = options
  const { clock } = settings
  const known = new Map<AtSign, Known>()
  const asking = new Map<AtSign, Question>()
  let sessions = 0

  /** What is known of a key has to be asked for again; until then it serves only while Redis is away. */
  const doubt = (key: string): void => {
    const atSign = atSignOf(key)
    if (atSign === undefined) return
    const question = asking.get(atSign)
    if (question !== undefined) question.outdated = true
    const entry = known.get(atSign)
    if (entry !== undefined) known.set(atSign, { ...entry, session: doubted })
  }

  const writeOwn = async (session: RedisSession): Promise<void> => {
    if (!session.isPrimary) return
    try {
      for (const [atSign, address] of own) {
        if ((await fetch(session, atSign)) !== address) await session.connection.run('SET', bareName(atSign), address)
      }
    } catch (error) {
      log('warn', 'the entry of this device cannot be written to Redis', { reason: String(error) })
    }
  }

  const link = createRedisLink({
    ...{ settings, log },
    onKey: doubt,
    onSession(session) {
      sessions++
      for (const question of asking.values()) question.outdated = true
      void writeOwn(session)
    },
  })

  const remember = (atSign: AtSign, address: string | undefined, session: number): void => {
    known.delete(atSign)
    known.set(atSign, { address, since: clock.now(), session })
    const oldest = known.keys().next()
    if (known.size > mostRemembered && !oldest.done) known.delete(oldest.value)
  }

  const isFresh = ({ since, session }: Known, { subscriber }: RedisSession): boolean => {
    const age = clock.now() - since
    return session === sessions && age >= 0 && age < (subscriber === undefined ? untoldMs : notifiedMs)
  }

  const fetch = async (session: RedisSession, atSign: AtSign): Promise<string | undefined> => {
    try {
      return addressOf(await session.connection.run('GETRANGE', bareName(atSign), 0, longestValue - 1))
    } catch (error) {
      // A list or a hash under the name is no entry.
      if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return undefined
      throw away(error)
    }
  }

  /** What was known before Redis went away still counts, misses do not. */
  const fromMemory = (atSign: AtSign, cause?: unknown): string => {
    const address = known.get(atSign)?.address
    if (address === undefined) throw away(cause)
    return address
  }

  const ask = (session: RedisSession, atSign: AtSign): Promise<string | undefined> => {
    const underWay = asking.get(atSign)
    if (underWay !== undefined && !underWay.outdated) return underWay.answer
    const question: Question = {
      outdated: false,
      answer: fetch(session, atSign)
        .then((address) => {
          remember(atSign, address, question.outdated ? doubted : sessions)
          return address
        })
        .catch((error: unknown) => fromMemory(atSign, error))
        .finally(() => {
          if (asking.get(atSign) === question) asking.delete(atSign)
        }),
    }
    asking.set(atSign, question)
    return question.answer
  }

  /** @throws AtError AT0021 without a primary: nothing can be changed then */
  const primary = (): RedisSession => {
    const session = link.session()
    if (session === undefined) throw away()
    if (!session.isPrimary) throw new AtError('AT0021', 'only a replica of Redis answers: nothing can be changed now')
    return session
  }

  const change = async <T>(atSign: AtSign, work: (session: RedisSession) => Promise<T>): Promise<T> => {
    const session = primary()
    try {
      const result = await work(session)
      await awaitReplica(session)
      return result
    } catch (error) {
      throw away(error)
    } finally {
      doubt(bareName(atSign))
    }
  }

  const readAll = async (session: RedisSession, keys: readonly unknown[]): Promise<Entry[]> => {
    const names = keys.flatMap((key) => atSignOf(String(key)) ?? [])
    const found = await Promise.all(names.map((atSign) => fetch(session, atSign)))
    return names.flatMap((atSign, index) => {
      const address = found[index]
      return address === undefined ? [] : [{ atSign, address }]
    })
  }

  const list = async (): Promise<Entry[]> => {
    const session = link.session()
    if (session === undefined) throw away()
    const entries = new Map<AtSign, string>()
    let cursor = '0'
    do {
      const page = await session.connection.run('SCAN', cursor, 'COUNT', pageKeys)
      const [next, keys] = Array.isArray(page) ? page : []
      for (const { atSign, address } of await readAll(session, Array.isArray(keys) ? keys : [])) {
        entries.set(atSign, address)
      }
      cursor = typeof next === 'string' ? next : '0'
    } while (cursor !== '0' && entries.size < limits.directoryEntries)
    return [...entries].slice(0, limits.directoryEntries).map(([atSign, address]) => ({ atSign, address }))
  }

  const hosts = createHosts({ clock, list })

  return {
    ready: link.tried,
    get(atSign) {
      const session = link.session()
      if (session === undefined) return fromMemory(atSign)
      const entry = known.get(atSign)
      return entry !== undefined && isFresh(entry, session) ? entry.address : ask(session, atSign)
    },
    async replace(atSign, address, before) {
      primary()
      const isOfSameHost = before !== undefined && hostOf(before) === hostOf(address)
      if (!isOfSameHost) await hosts.admit(address)
      const isSet = await change(atSign, async ({ connection }) => {
        const key = bareName(atSign)
        if (before === undefined) return (await connection.run('SET', key, address, 'NX')) === 'OK'
        return (await connection.run('EVAL', replaceScript, 1, key, before, address)) === 1
      })
      if (isSet && !isOfSameHost) hosts.added(address)
      return isSet
    },
    remove: (atSign, before) =>
      change(atSign, async ({ connection }) => {
        const key = bareName(atSign)
        const removed = await (before === undefined
          ? connection.run('DEL', key)
          : connection.run('EVAL', removeScript, 1, key, before))
        known.delete(atSign)
        return removed === 1
      }),
    list,
    status() {
      const session = link.session()
      return {
        redis:
          session === undefined
            ? { connected: false }
            : {
                connected: true,
                server: endpointText(session.address),
                primary: session.isPrimary,
                notifications: session.subscriber !== undefined,
              },
        remembered: known.size,
      }
    },
    close: () => link.close(),
  }
}
