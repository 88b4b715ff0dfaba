import type { Finding } from '../core/health.ts'
import type { CommitEntry, StoredRecord } from '../core/record.ts'
import type { Draft } from './draft.ts'
import {
  type ExpiryKind,
  expiryKey,
  type NotificationState,
  notificationKey,
  sortable,
  type Table,
  tables,
} from './layout.ts'
import { rejoinOutbox } from './outbox-index.ts'

// Everything of importance is written down twice, in the row itself and in an index: what is missing on one side can be
// told, and mostly be put right, from the other. Commit ids have holes by nature, since an entry goes when its key changes
// again. A hole is damage when something points at it: a record or tombstone whose entry is not there, or an entry whose
// record or tombstone is not there.

/** Where rows are read: committed ones, or a change with everything staged before it. */
export type Reader = Pick<Draft, 'tryGet'>

/** What is wrong with a row. */
export interface Flaw {
  /** What is lost by it; undefined when it is put right without loss. */
  readonly lost?: Finding
  /** The key whose entry in the commit log decides: with a newer one, the row is a version that was replaced. */
  readonly contested?: string
  /** Puts it right. */
  readonly heal?: (draft: Draft) => void
}

function expiryFlaw(read: Reader, kind: ExpiryKind, target: string, at: number | undefined): Flaw[] {
  if (at === undefined) return []
  const key = expiryKey(at, kind, target)
  if (read.tryGet(tables.expiry, key) !== undefined) return []
  return [{ heal: (draft) => draft.put(tables.expiry, key, 0) }]
}

function ofRecord(read: Reader, key: string, { commitId, metadata }: StoredRecord): Flaw[] {
  const flaws = expiryFlaw(read, 'r', key, metadata.expiresAt)
  if (commitId === -1 || read.tryGet(tables.commits, sortable(commitId))?.key === key) return flaws
  const entry: CommitEntry = { commitId, key, operation: '*', opTime: metadata.updatedAt ?? 0 }
  return [...flaws, { contested: key, heal: (draft) => draft.put(tables.commits, sortable(commitId), entry) }]
}

function ofTombstone(read: Reader, key: string, commitId: number): Flaw[] {
  if (read.tryGet(tables.commits, sortable(commitId))?.key === key) return []
  const entry: CommitEntry = { commitId, key, operation: '-', opTime: 0 }
  return [{ contested: key, heal: (draft) => draft.put(tables.commits, sortable(commitId), entry) }]
}

function ofCommit(read: Reader, id: string, { key, commitId, operation }: CommitEntry): Flaw[] {
  const record = read.tryGet(tables.records, key)
  const holder = record?.commitId ?? read.tryGet(tables.tombstones, key)
  if (holder === commitId) return []
  if (holder !== undefined && holder > commitId) return [{ heal: (draft) => draft.remove(tables.commits, id) }]
  if (operation === '-' && record === undefined) {
    return [{ heal: (draft) => draft.put(tables.tombstones, key, commitId) }]
  }
  const cause = record === undefined ? 'only its commit entry is left' : 'only an older version is left'
  return [{ lost: { what: tables.records.noun, key, commitId, cause } }]
}

function ofState(read: Reader, ref: string, state: NotificationState): Flaw[] {
  const { at, expiresAt, outbox } = state
  const flaws = expiryFlaw(read, 'n', ref, expiresAt)
  if (read.tryGet(tables.notifications, notificationKey(at, ref)) === undefined) {
    flaws.push({ lost: { what: tables.notifications.noun, key: ref, cause: 'only its state is left' } })
  } else if (outbox !== undefined && read.tryGet(tables.outbox, outbox) !== ref) {
    flaws.push({ heal: (draft) => rejoinOutbox(draft, ref, { ...state, outbox }) })
  }
  return flaws
}

/** What a row says that other rows do not agree with. */
export function examine<Row>(read: Reader, table: Table<Row>, key: string, row: Row): Flaw[] {
  const is = (other: Table<unknown>): boolean => (table as Table<unknown>) === other
  if (is(tables.records)) return ofRecord(read, key, row as StoredRecord)
  if (is(tables.tombstones)) return ofTombstone(read, key, row as number)
  if (is(tables.commits)) return ofCommit(read, key, row as CommitEntry)
  if (is(tables.notificationStates)) return ofState(read, key, row as NotificationState)
  return []
}
