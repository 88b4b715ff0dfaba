import { type AtKey, cachedForm, isCommitted, makeAtKey, parseAtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import { type Clock, parseUtc } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { isLive, type Metadata, metadataTag, parseTagValue } from '../core/metadata.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Store } from '../core/storage.ts'
import type { Remote, RemoteRecord } from '../verbs/verb.ts'
import { replyData } from '../wire/link.ts'
import type { PeerSession } from './peer-session.ts'
import type { Peers } from './peers.ts'

type Json = Record<string, unknown>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

const times = ['createdAt', 'updatedAt', 'availableAt', 'expiresAt', 'refreshAt'] as const

/** A member out of a peer's JSON, or undefined when it has not the form of its tag. */
function readMember(tag: NonNullable<ReturnType<typeof metadataTag>>, value: unknown): unknown {
  try {
    const text = tag.type === 'appMetadata' ? Buffer.from(JSON.stringify(value)).toString('base64') : String(value)
    return parseTagValue(tag, text)
  } catch {
    return undefined
  }
}

/** A hash of a key and its algorithm say something together only. */
function readKeyHash(value: unknown): { pubKeyHash?: string; hashingAlgo?: string } {
  if (!isObject(value)) return {}
  const { hash, hashingAlgo = value['algo'] } = value
  return typeof hash === 'string' && typeof hashingAlgo === 'string' ? { pubKeyHash: hash, hashingAlgo } : {}
}

/** Read from other members, or of no meaning in a record. */
const notRead = new Set(['pubKeyHash', 'hashingAlgo', 'sharedKeyStatus'])

/** Metadata out of a peer's JSON: known members of the right form; everything else is left behind. */
function readMetadata(view: unknown, owner: AtSign): Metadata {
  const metadata: Json = { createdBy: owner }
  if (!isObject(view)) return metadata as Metadata
  for (const [name, value] of Object.entries(view)) {
    const tag = metadataTag(name)
    if (value === null || tag === undefined || tag.name !== name || tag.type === 'time' || notRead.has(name)) continue
    const read = readMember(tag, value)
    if (read !== undefined) metadata[name] = read
  }
  for (const name of times) {
    const value = view[name]
    const ms = typeof value === 'string' ? parseUtc(value) : undefined
    if (ms !== undefined) metadata[name] = ms
  }
  return { ...metadata, ...readKeyHash(view['pubKeyHash']) } as Metadata
}

function parseKey(value: unknown): AtKey | undefined {
  try {
    return typeof value === 'string' ? parseAtKey(value) : undefined
  } catch {
    return undefined
  }
}

/**
 * Reads a peer's answer to `lookup:all:`. Owner and recipient of what arrives are checked, so that a peer cannot plant
 * a record of somebody else.
 */
function readAnswer(
  line: string,
  asked: AtKey,
  owner: AtSign,
): { value: string | null; metadata: Metadata } | undefined {
  let text: string
  try {
    text = replyData(line)
  } catch (error) {
    if (error instanceof AtError && error.code === 'AT0015') return undefined
    throw error
  }
  if (text === 'null') return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    parsed = undefined
  }
  if (!isObject(parsed)) throw new AtError('AT0008', `${owner} sent an answer that is not a record`)
  if (parseKey(parsed['key'])?.text !== asked.text)
    throw new AtError('AT0008', `${owner} answered for another key than ${asked.text}`)
  const value = parsed['data']
  return { value: typeof value === 'string' ? value : null, metadata: readMetadata(parsed['metaData'], owner) }
}

const isFresh = (copy: StoredRecord, now: number): boolean => {
  const { ttr, refreshAt } = copy.metadata
  if (!isLive(copy.metadata, now) || ttr === undefined || ttr === 0) return false
  return ttr === -1 || (refreshAt !== undefined && now <= refreshAt)
}

/** Another atSign's encryption key is kept whatever it says about caching (page 03, section 12). */
const keptForEver = (key: AtKey): boolean => key.scope === 'public' && key.entity === 'publickey'

/** Keeps copies of others' encryption keys true, which no `ttr` ever makes old. */
export interface KeyRefresh {
  /**
   * Asks a peer for its encryption key where a copy is held: on every new connection, before the proof, as the reference
   * does (page 02, section 5, step 2). An unusable answer changes nothing.
   */
  refreshKey(owner: AtSign, session: PeerSession): Promise<void>
}

/** Reads of other atSigns' records through this atServer, with the copies that their owners allow. */
export function createRemote(options: { self: AtSign; clock: Clock; store: Store; peers: Peers }): Remote & KeyRefresh {
  const { self, clock, store, peers } = options

  const keep = async (asked: AtKey, value: string | null, metadata: Metadata): Promise<void> => {
    const copy = cachedForm(asked)
    const now = clock.now()
    const ttr = keptForEver(asked) ? -1 : metadata.ttr
    await store.write(async (tx) => {
      const old = await tx.record(copy.text)
      const change = { opTime: now, commit: isCommitted(copy) }
      if (ttr === undefined || ttr === 0) {
        if (old !== undefined) await tx.removeRecord(copy, { ...change, operation: '-' })
        return
      }
      const { refreshAt: _theirs, ...carried } = metadata
      const version = old === undefined ? 0 : (old.metadata.version ?? 0) + 1
      const refresh = ttr > 0 ? { refreshAt: now + ttr * 1000 } : {}
      const kept = { ...carried, updatedBy: self, version, ttr, ...refresh }
      await tx.putRecord(copy, { value, metadata: kept }, { ...change, operation: '*' })
    })
  }

  /** The copy of a record that is gone goes too, except the owner's encryption key. */
  const drop = async (asked: AtKey): Promise<void> => {
    const copy = cachedForm(asked)
    if (keptForEver(asked) || (await store.records.get(copy.text)) === undefined) return
    const change = { operation: '-', opTime: clock.now(), commit: isCommitted(copy) } as const
    await store.write((tx) => tx.removeRecord(copy, change))
  }

  const read = async (
    owner: AtSign,
    asked: AtKey,
    session: () => Promise<PeerSession>,
    bypassCache: boolean,
  ): Promise<RemoteRecord | undefined> => {
    const copy = cachedForm(asked)
    const stored = bypassCache ? undefined : await store.records.get(copy.text)
    if (stored !== undefined && isFresh(stored, clock.now())) {
      return { key: copy.text, value: stored.value, metadata: stored.metadata }
    }
    const answer = readAnswer(await (await session()).request(`lookup:all:${asked.entity}${owner}`), asked, owner)
    if (answer === undefined) {
      await drop(asked)
      return undefined
    }
    await keep(asked, answer.value, answer.metadata)
    const metadata = keptForEver(asked) ? { ...answer.metadata, ttr: -1 } : answer.metadata
    return { key: asked.text, value: answer.value, metadata }
  }

  const refreshKey = async (owner: AtSign, session: PeerSession): Promise<void> => {
    const asked = makeAtKey({ scope: 'public', entity: 'publickey', owner })
    try {
      const copy = await store.records.get(cachedForm(asked).text)
      if (copy === undefined) return
      const answer = readAnswer(await session.request(`lookup:all:publickey${owner}`), asked, owner)
      if (answer?.value != null && answer.value !== copy.value) await keep(asked, answer.value, answer.metadata)
    } catch (error) {
      if (!(error instanceof AtError)) throw error
    }
  }

  const ownerOf = (key: AtKey): AtSign => {
    if (key.owner === undefined) throw new AtError('AT0003', `key ${key.text} has no owner to ask`)
    return key.owner
  }

  return {
    refreshKey,
    lookup(key, { bypassCache }) {
      const owner = ownerOf(key)
      const asked = makeAtKey({ sharedWith: self, entity: key.entity, owner })
      return read(owner, asked, () => peers.proven(owner), bypassCache)
    },
    plookup(key, { bypassCache }) {
      const owner = ownerOf(key)
      const asked = makeAtKey({ scope: 'public', entity: key.entity, owner })
      return read(owner, asked, () => peers.anonymous(owner), bypassCache)
    },
    async scan(atSign, pattern) {
      const link = await peers.proven(atSign)
      return replyData(await link.request(pattern === undefined ? 'scan' : `scan ${pattern}`))
    },
  }
}
