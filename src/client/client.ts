import { randomUUID } from 'node:crypto'
import { type AtKey, keyKind, makeAtKey, parseAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { createLanes } from '../core/lanes.ts'
import type { MetadataChange } from '../core/metadata.ts'
import { formatMetadata, type Optional } from '../core/metadata-tags.ts'
import type { Durability } from '../core/storage.ts'
import type { AtKeys } from '../crypto/keys-file.ts'
import { replyData } from '../wire/link.ts'
import { type Monitor, startMonitor } from './monitor.ts'
import { createOpener, type ShownMetadata } from './open.ts'
import { createPairKeys, type Unreachable } from './pair-keys.ts'
import { createSeal, type Sealed } from './seal.ts'
import { createSession, type Session } from './session.ts'
import type { AtClient, Connect, NotifyOptions } from './types.ts'

export type { AtClient, Connect, NotifyOptions, PutOptions, ReadRecord, ReceivedNotification } from './types.ts'

export interface AtClientOptions {
  readonly atSign: AtSign
  readonly keys: AtKeys
  readonly connect: Connect
  /** Ways into the own atServer on which changes have a durability of their own; there are none over a network. */
  readonly durable?: Readonly<Record<Durability, Connect>>
  readonly clock: Clock
  /** Wait for one reply in milliseconds; 35 s unless told, because the atServer may ask another one first. */
  readonly replyMs?: number
  /**
   * What to do for a recipient whose public key cannot be had. `refuse` (default) tells whoever asked; `defer` is for
   * devices: the value is stored at once, and the recipient's copy of the key follows when it can be reached.
   */
  readonly unreachable?: Unreachable
  /** Source of jitter, for tests. */
  readonly random?: () => number
}

const refused = (key: string, why: string): AtError => new AtError('AT0022', `${key.slice(0, 64)} ${why}`)

/** Tags of what the caller says about a value, which come first, and of what is needed to read it. */
const tagsOf = (
  { metadata }: Pick<Sealed, 'metadata'>,
  { ttl, ttb, ttr, ccd }: Optional<Pick<MetadataChange, 'ttl' | 'ttb' | 'ttr' | 'ccd'>>,
): string => formatMetadata({ ttl, ttb, ttr, ccd }) + formatMetadata(metadata)

/** @throws AtError AT0016 for a malformed key */
function withOwner(text: string, self: AtSign): AtKey {
  const key = parseAtKey(text)
  return key.owner === undefined ? makeAtKey({ ...key, owner: self }) : key
}

function checkWritable(key: AtKey, self: AtSign): void {
  if (key.owner !== self || key.cached) throw refused(key.text, `is not a key of ${self}`)
  if (key.scope !== undefined && key.scope !== 'public') throw refused(key.text, 'is not public, shared or a self key')
  if (keyKind(key) === 'reserved') throw refused(key.text, 'is a key that the protocol keeps for itself')
}

/** The command that reads a key, wherever it is kept (page 03). */
function readCommand(key: AtKey, self: AtSign, bypassCache: boolean): string {
  if (key.cached || key.owner === self) return `llookup:all:${key.text}`
  if (key.sharedWith !== undefined && key.sharedWith !== self) throw refused(key.text, `is not shared with ${self}`)
  const verb = key.scope === 'public' ? 'plookup' : 'lookup'
  return `${verb}:${bypassCache ? 'bypassCache:true:' : ''}all:${key.entity}${key.owner}`
}

interface Shown {
  readonly key: string
  readonly value: string | null
  readonly metadata: ShownMetadata
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** Reads `{"key","data","metaData"}`; undefined for `null`. @throws AtError AT0011 */
function readShown(text: string, key: AtKey): Shown | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw new AtError('AT0011', `The record ${key.text} came in a form that cannot be read`, { cause })
  }
  if (parsed === null) return undefined
  const record = isObject(parsed) ? parsed : {}
  const { data, metaData } = record as { [name: string]: unknown }
  return {
    key: typeof record['key'] === 'string' ? record['key'] : key.text,
    value: typeof data === 'string' ? data : data === null || data === undefined ? null : JSON.stringify(data),
    metadata: isObject(metaData) ? metaData : {},
  }
}

const commitIdOf = (text: string): number => (/^-?\d+$/.test(text) ? Number(text) : -1)

function readKeys(text: string): string[] {
  const parsed: unknown = JSON.parse(text)
  return Array.isArray(parsed) ? parsed.filter((key) => typeof key === 'string') : []
}

/** The head of a notify line, up to the metadata. @throws AtError AT0022 for a bad id */
function notifyHead({ operation = 'update', ttln, ephemeral, id }: NotifyOptions & { id: string }): string {
  if (!/^[\w-]{1,64}$/.test(id)) throw refused(id, 'is no id of a notification: letters, digits, - and _ only')
  return `notify:id:${id}:${operation}${ttln === undefined ? '' : `:ttln:${ttln}`}${ephemeral ? ':eph' : ''}`
}

/** Sessions by the durability of what is written on them, each made when it is first needed. */
function createDurableSessions(options: AtClientOptions) {
  const sessions = new Map<Durability, Session>()
  return {
    /** @throws AtError AT0022 where a client cannot choose */
    of(durability: Durability): Session {
      const connect = options.durable?.[durability]
      if (connect === undefined)
        throw refused(durability, 'is a durability that only the process of the atServer can ask for')
      const session = sessions.get(durability) ?? createSession({ ...options, connect })
      sessions.set(durability, session)
      return session
    },
    close(): void {
      for (const session of sessions.values()) session.close()
    },
  }
}

/**
 * Connects and logs in with PKAM.
 * @throws AtError AT0021 when there is no connection, AT0401 or AT0025 to AT0028 when the login is refused
 */
export async function connectAtClient(options: AtClientOptions): Promise<AtClient> {
  const { keys, connect, clock, random } = options
  const self = parseAtSign(options.atSign)
  if (keys.atSign !== self) throw refused(keys.atSign, `is whom these keys belong to, not ${self}`)
  const session = createSession(options)
  const sessions = createDurableSessions(options)
  const ask = (line: string, durability?: Durability): Promise<string> =>
    (durability === undefined ? session : sessions.of(durability)).repeatable(line).then(replyData)
  const pairKeys = createPairKeys(keys, session.repeatable, clock.now, options.unreachable)
  const seal = createSeal(keys, pairKeys)
  const opener = createOpener(keys, pairKeys)
  const monitors = new Set<Monitor>()
  /** Writes by key: each may need a key of its reader or a connection first, and none may be overtaken by a later one. */
  const writes = createLanes()
  await session.open()

  return {
    atSign: self,
    async put(text, value, given = {}) {
      const key = withOwner(text, self)
      checkWritable(key, self)
      if (value === '' && key.scope === 'public') throw refused(key.text, 'takes a value of at least one character')
      return writes.run(key.text, async () => {
        const sealed = await seal(key, value)
        const tags = tagsOf(sealed, given)
        return commitIdOf(await ask(`update${tags}:${key.text} ${sealed.value}`, given.durability))
      })
    },
    async get(text, { bypassCache = false } = {}) {
      const key = withOwner(text, self)
      let reply: string
      try {
        reply = await ask(readCommand(key, self, bypassCache))
      } catch (error) {
        if (error instanceof AtError && error.code === 'AT0015') return undefined
        throw error
      }
      const shown = readShown(reply, key)
      return shown && opener.record(key, shown.key, shown.value, shown.metadata)
    },
    async delete(text) {
      const key = withOwner(text, self)
      return writes.run(key.text, async () => commitIdOf(await ask(`delete:${key.text}`)))
    },
    async scan(pattern, { showHidden = false, atSign } = {}) {
      const from = atSign === undefined ? '' : `:${parseAtSign(atSign)}`
      return readKeys(await ask(`scan${showHidden ? ':showHidden:true' : ''}${from}${pattern ? ` ${pattern}` : ''}`))
    },
    async notify(text, value, given = {}) {
      const key = withOwner(text, self)
      checkWritable(key, self)
      if (key.sharedWith === undefined) throw refused(key.text, 'names no recipient, as in @bob:phone.wavi@alice')
      const head = notifyHead({ ...given, id: given.id ?? randomUUID() })
      return writes.run(key.text, async () => {
        const sealed = value === undefined ? undefined : await seal(key, value)
        const tags = tagsOf(sealed ?? { metadata: { isEncrypted: false } }, given)
        return ask(`${head}${tags}:${key.text}${sealed === undefined ? '' : `:${sealed.value}`}`, given.durability)
      })
    },
    notificationStatus: (id) => ask(`notify:status:${id}`),
    monitor(given = {}) {
      const monitor = startMonitor({ keys, connect, clock, opener, random }, given, () => monitors.delete(monitor))
      if (given.signal?.aborted !== true) monitors.add(monitor)
      return monitor
    },
    request: session.request,
    async close() {
      for (const monitor of monitors) monitor.close()
      sessions.close()
      session.close()
    },
  }
}
