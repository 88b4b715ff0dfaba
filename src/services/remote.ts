import { type AtKey, cachedForm, isCommitted, makeAtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { isLive, type Metadata } from '../core/metadata.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Holding, Store, Transaction } from '../core/storage.ts'
import type { Remote, RemoteRecord } from '../verbs/verb.ts'
import type { OnKeyChange } from './key-change.ts'
import type { PeerSession } from './peer-session.ts'
import type { Peers } from './peers.ts'
import { type PeerRecord, readAnswer, readKeys } from './remote-answer.ts'

const isFresh = (copy: StoredRecord, now: number): boolean => {
  const { ttr, refreshAt } = copy.metadata
  if (!isLive(copy.metadata, now) || ttr === undefined || ttr === 0) return false
  return ttr === -1 || (refreshAt !== undefined && now <= refreshAt)
}

/** Another atSign's encryption key is kept whatever it says about caching (page 03, section 12). */
const keptForEver = (key: AtKey): boolean => key.scope === 'public' && key.entity === 'publickey'

/** The owner's server could not be reached; one that answers with a refusal has spoken. */
const isUnreachable = (error: unknown): boolean =>
  error instanceof AtError && (error.code === 'AT0004' || error.code === 'AT0021' || error.code === 'AT0023')

/** What keeps a session from being opened besides: an answer that is none of an atServer, or no place free. */
const isNotOpened = (error: unknown): boolean =>
  isUnreachable(error) || (error instanceof AtError && (error.code === 'AT0006' || error.code === 'AT0008'))

const ownerOf = (key: AtKey): AtSign => {
  if (key.owner === undefined) throw new AtError('AT0003', `key ${key.text} has no owner to ask`)
  return key.owner
}

/** Keeps copies of others' records true. */
export interface CopyRefresh {
  /**
   * Asks a peer for its encryption key, which no `ttr` ever makes old: on every new connection, before the proof, as the
   * reference does (page 02, section 5, step 2). An unusable answer changes nothing.
   */
  refreshKey(owner: AtSign, session: PeerSession): Promise<void>
  /**
   * Asks the owner of a copy for the record again: it is written anew or, when the owner has it no more (AT0015 or `null`),
   * removed. After any other answer, a refusal say, it stays as it is (page 03, section 12).
   * @throws AtError when the owner cannot be asked now; the copy then stays as well
   */
  refreshCopy(copy: AtKey): Promise<void>
  /** Removes a copy. */
  dropCopy(copy: AtKey): Promise<void>
}

/** Reads of other atSigns' records through this atServer, with the copies that their owners allow. */
export function createRemote(options: {
  self: AtSign
  clock: Clock
  store: Store
  peers: Peers
  log: Log
  /** Copies that are kept of one atSign's records. */
  quota: Holding
  keyChanged: OnKeyChange
}): Remote & CopyRefresh {
  const { self, clock, store, peers, log, quota, keyChanged } = options

  /** What does not fit is answered and not kept. */
  const hasRoom = async (tx: Transaction, owner: AtSign): Promise<boolean> => {
    const held = await tx.holding('copies', owner)
    return held.count < quota.count && held.bytes < quota.bytes
  }

  const keep = async (asked: AtKey, { value, metadata }: PeerRecord): Promise<void> => {
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
      if (old === undefined && !keptForEver(asked) && !(await hasRoom(tx, ownerOf(asked)))) return
      const { refreshAt: _theirs, ...carried } = metadata
      const version = old === undefined ? 0 : (old.metadata.version ?? 0) + 1
      const refresh = ttr > 0 ? { refreshAt: now + ttr * 1000 } : {}
      const renewed = keptForEver(asked) && old?.value != null && old.value !== value
      // Of an encryption key it is told since when it is known here, as the reference does; of other records, what their owners say.
      const known = renewed || old === undefined ? now : (old.metadata.createdAt ?? now)
      const created = keptForEver(asked) ? { createdAt: known } : {}
      const kept: Metadata = { ...carried, ...created, updatedBy: self, version, ttr, ...refresh }
      await tx.putRecord(copy, { value, metadata: kept }, { ...change, operation: '*' })
      if (renewed) await keyChanged(tx, ownerOf(asked), { now, before: old.metadata.createdAt ?? now })
    })
  }

  const remove = async (copy: AtKey): Promise<void> => {
    if ((await store.records.get(copy.text)) === undefined) return
    const change = { operation: '-', opTime: clock.now(), commit: isCommitted(copy) } as const
    await store.write((tx) => tx.removeRecord(copy, change))
  }

  /** The copy of a record that is gone goes too, except the owner's encryption key. */
  const drop = async (asked: AtKey): Promise<void> => {
    if (!keptForEver(asked)) await remove(cachedForm(asked))
  }

  /** A session with the owner of a record, as a stranger for a public one. */
  const openFor = (asked: AtKey): Promise<PeerSession> =>
    asked.scope === 'public' ? peers.anonymous(ownerOf(asked)) : peers.proven(ownerOf(asked))

  /** Asks the owner of a record; the copy becomes what the answer says. */
  const fetch = async (asked: AtKey, session: PeerSession): Promise<PeerRecord | undefined> => {
    const owner = ownerOf(asked)
    const answer = readAnswer(await session.request(`lookup:all:${asked.entity}${owner}`), asked, owner)
    if (answer === undefined) await drop(asked)
    // On a full disk the answer is as good, only not kept.
    else if (store.disk.use().state !== 'full') await keep(asked, answer)
    return answer
  }

  const read = async (asked: AtKey, bypassCache: boolean): Promise<RemoteRecord | undefined> => {
    const copy = cachedForm(asked)
    const stored = bypassCache ? undefined : await store.records.get(copy.text)
    const ofCopy = (held: StoredRecord): RemoteRecord => ({
      key: copy.text,
      value: held.value,
      metadata: held.metadata,
    })
    if (stored !== undefined && isFresh(stored, clock.now())) return ofCopy(stored)
    let isOpen = false
    try {
      const session = await openFor(asked)
      isOpen = true
      const answer = await fetch(asked, session)
      if (answer === undefined) return undefined
      const metadata = keptForEver(asked) ? { ...answer.metadata, ttr: -1 } : answer.metadata
      return { key: asked.text, value: answer.value, metadata }
    } catch (error) {
      // Old news is better than none; `cached:` and `refreshAt` tell the client how old it is.
      const usable = stored?.metadata.ttr && isLive(stored.metadata, clock.now())
      const isAway = isOpen ? isUnreachable(error) : isNotOpened(error)
      if (stored === undefined || !usable || !isAway) throw error
      return ofCopy(stored)
    }
  }

  const refreshKey = async (owner: AtSign, session: PeerSession): Promise<void> => {
    const asked = makeAtKey({ scope: 'public', entity: 'publickey', owner })
    try {
      const answer = readAnswer(await session.request(`lookup:all:publickey${owner}`), asked, owner)
      if (answer?.value == null) return
      const copy = await store.records.get(cachedForm(asked).text)
      if (answer.value !== copy?.value) await keep(asked, answer)
    } catch (error) {
      if (!(error instanceof AtError)) throw error
    }
  }

  return {
    refreshKey,
    dropCopy: remove,
    async refreshCopy({ scope, sharedWith, entity, owner }) {
      const asked = makeAtKey({ scope, sharedWith, entity, owner })
      const session = await openFor(asked)
      try {
        await fetch(asked, session)
      } catch (error) {
        if (!(error instanceof AtError) || isUnreachable(error)) throw error
        log('debug', 'a copy stays as it is', { key: cachedForm(asked).text, code: error.code, reason: error.message })
      }
    },
    lookup: (key, { bypassCache }) =>
      read(makeAtKey({ sharedWith: self, entity: key.entity, owner: ownerOf(key) }), bypassCache),
    plookup: (key, { bypassCache }) =>
      read(makeAtKey({ scope: 'public', entity: key.entity, owner: ownerOf(key) }), bypassCache),
    async scan(atSign, pattern) {
      const link = await peers.proven(atSign)
      return readKeys(await link.request(pattern === undefined ? 'scan' : `scan ${pattern}`), atSign)
    },
  }
}
