import { isCommitted, parseAtKey } from '../core/at-key.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Change, Records } from '../core/storage.ts'
import { whenKnown } from '../core/when-known.ts'
import { findCommit, logChange, type Superseded } from './commits.ts'
import type { Committed } from './committed.ts'
import type { Database } from './database.ts'
import type { Draft } from './draft.ts'
import { moveExpiry } from './expiry-index.ts'
import { bytesOfRecord, changeHolding, originOfCopy } from './holdings.ts'
import { tables } from './layout.ts'

type Content = Pick<StoredRecord, 'value' | 'metadata'>

/** What a change finds under a key. */
type Before = Superseded & { readonly record: StoredRecord | undefined }

/** A damaged row says nothing any more, so the log is searched for its entry; only then there is a promise to wait for. */
function previous(draft: Draft, committed: Committed, key: string): Before | Promise<Before> {
  try {
    const record = draft.get(tables.records, key)
    if (record !== undefined) return { record, commitId: record.commitId, tombstone: false }
    const commitId = draft.get(tables.tombstones, key)
    return { record, commitId: commitId ?? -1, tombstone: commitId !== undefined }
  } catch {
    return findCommit(committed, key).then((commitId) => ({ record: undefined, commitId, tombstone: true }))
  }
}

/** Copies of another atSign's records count as room that it takes. */
function moveHolding(draft: Draft, key: string, before: StoredRecord | undefined, now: Content | undefined): void {
  const origin = originOfCopy(key)
  if (origin === undefined || (before === undefined && now === undefined)) return
  const count = (now === undefined ? 0 : 1) - (before === undefined ? 0 : 1)
  const bytes = (record: Content | undefined) => (record === undefined ? 0 : bytesOfRecord(key, record))
  changeHolding(draft, 'copies', origin, count, bytes(now) - bytes(before))
}

/** Stores a record with its commit and expiry entries. @returns the commit id, -1 when it is not logged */
export const putRecord = (
  draft: Draft,
  committed: Committed,
  key: string,
  content: Content,
  change: Change,
): number | Promise<number> =>
  whenKnown(previous(draft, committed, key), (before) => replace(draft, key, before, content, change))

function replace(draft: Draft, key: string, before: Before, { value, metadata }: Content, change: Change): number {
  const commitId = logChange(draft, key, before, change)
  if (before.tombstone) draft.remove(tables.tombstones, key)
  draft.put(tables.records, key, { value, metadata, commitId })
  moveExpiry(draft, 'r', key, before.record?.metadata.expiresAt, metadata.expiresAt)
  moveHolding(draft, key, before.record, { value, metadata })
  return commitId
}

/** Removes a record, present or not. @returns the commit id, -1 when it is not logged */
export const removeRecord = (
  draft: Draft,
  committed: Committed,
  key: string,
  change: Omit<Change, 'operation'>,
): number | Promise<number> => whenKnown(previous(draft, committed, key), (before) => erase(draft, key, before, change))

function erase(draft: Draft, key: string, before: Before, change: Omit<Change, 'operation'>): number {
  const commitId = logChange(draft, key, before, { ...change, operation: '-' })
  draft.remove(tables.records, key)
  if (commitId !== -1) draft.put(tables.tombstones, key, commitId)
  else if (before.tombstone) draft.remove(tables.tombstones, key)
  moveExpiry(draft, 'r', key, before.record?.metadata.expiresAt, undefined)
  moveHolding(draft, key, before.record, undefined)
  return commitId
}

function entersLog(key: string): boolean {
  try {
    return isCommitted(parseAtKey(key))
  } catch {
    return false
  }
}

/** Removes a record whose time has come. */
export const expireRecord = (draft: Draft, committed: Committed, key: string, now: number): number | Promise<number> =>
  removeRecord(draft, committed, key, { opTime: now, commit: entersLog(key) })

/** Reads of committed records. */
export const createRecords = (database: Database, committed: Committed): Records => ({
  get(key) {
    const recovery = database.ready()
    const read = (): StoredRecord | undefined => committed.get(tables.records, key)
    return recovery === undefined ? read() : recovery.then(read)
  },
  version: committed.version,
  async *entries(prefix = '', after?: string) {
    const range = { start: prefix, ...(after === undefined ? {} : { gt: after }) }
    for await (const [key, { metadata }] of committed.rows(tables.records, range)) yield [key, metadata]
  },
})
