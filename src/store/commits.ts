import { limits } from '../core/limits.ts'
import type { Change, Commits } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import type { Database } from './database.ts'
import type { Draft } from './draft.ts'
import { commitKey, fromSortable, gapKey, reservedKey, sortable, tables } from './layout.ts'
import { seal } from './seal.ts'

/** The commit entry that a change replaces. */
export interface Superseded {
  /** -1 when the key has none. */
  readonly commitId: number
  /** Whether the key has no record, only a tombstone. */
  readonly tombstone: boolean
}

// An id that was read by a client and then lost in a power cut must never be issued again: the client would take the new
// change for the one it has. A change in `group` mode is on flash before its id is told, so nothing more is needed. A
// change in `interval` mode is not. So ids are reserved ahead, in blocks: an id is only told when a mark on flash says
// that it may have been. After a clean stop the mark is gone. After any other the ids between the last change that is there
// and the mark stay unused for ever, and a row in `tables.gaps` says so: a hole in the log that no such row covers is damage.

/** Ids reserved at one time: a synced write every so many changes, and the largest gap that a power cut leaves. */
export const reservedAhead = 1000

/** Says on flash that ids up to this one may be told. */
function reserve(draft: Draft, upTo: number): void {
  draft.put(tables.memory, reservedKey, upTo)
  draft.put(tables.meta, reservedKey, upTo)
}

/** The last change of a store that is closed cleanly: no id beyond the last one was told. */
export function releaseReserved(draft: Draft): void {
  if (draft.get(tables.memory, reservedKey) === undefined) return
  draft.remove(tables.memory, reservedKey)
  draft.remove(tables.meta, reservedKey)
}

/** The mark of reserved ids that a store which was not closed cleanly has left, -1 for none. */
export const reservedIn = (committed: Committed): number => committed.tryGet(tables.meta, reservedKey) ?? -1

/** Key of the latest gap, which a further one behind it makes longer. */
async function latestGap(committed: Committed): Promise<string> {
  for await (const [key] of committed.rows(tables.gaps, { reverse: true, limit: 1 })) return key
  return sortable((committed.memory.get(gapKey) ?? -1) + 1)
}

/**
 * Turns ids that may have been told and then lost, in a power cut or by damage, into a gap before anything else is written.
 * @returns the gap, undefined when there is none
 */
export async function closeGap(
  database: Database,
  committed: Committed,
): Promise<{ readonly from: number; readonly to: number } | undefined> {
  if (database.readOnly() !== undefined) return undefined
  const last = committed.memory.get(commitKey) ?? -1
  const gapEnd = committed.memory.get(gapKey) ?? -1
  const from = Math.max(last, gapEnd) + 1
  const reserved = reservedIn(committed)
  const forgotten = committed.forgotten()
  // After damage nobody knows what else was told, behind the latest gap too. Such starts may come by the thousand.
  const further = gapEnd > last ? limits.furtherCommitGap : limits.restoreCommitGap
  const to = forgotten === undefined ? reserved : Math.max(from - 1, reserved, forgotten) + further
  if (to === -1) return undefined
  const gap = tables.gaps.prefix + (gapEnd > last ? await latestGap(committed) : sortable(from))
  const mark = { key: tables.meta.prefix + reservedKey, value: undefined }
  const rows = from > to ? [mark] : [{ key: gap, value: seal(gap, JSON.stringify(to)) }, mark]
  await database.batch(rows, true)
  committed.remember()
  return from > to ? undefined : { from, to }
}

/**
 * Writes the commit entry of a change and removes the one it replaces: the log holds one entry a key (page 04, section 1).
 * @returns the new id, -1 for a change outside the log
 */
export function logChange(draft: Draft, key: string, before: Superseded, change: Change): number {
  if (before.commitId !== -1) draft.remove(tables.commits, sortable(before.commitId))
  if (!change.commit) return -1
  const last = Math.max(draft.get(tables.memory, commitKey) ?? -1, draft.get(tables.memory, gapKey) ?? -1)
  const commitId = last + 1
  draft.put(tables.memory, commitKey, commitId)
  draft.put(tables.meta, commitKey, commitId)
  draft.put(tables.commits, sortable(commitId), { commitId, key, operation: change.operation, opTime: change.opTime })
  const reserved = draft.get(tables.memory, reservedKey) ?? -1
  if (draft.relaxed && commitId <= reserved) return commitId
  if (draft.relaxed) reserve(draft, commitId + reservedAhead)
  draft.mustSync()
  return commitId
}

/** Searches the whole log for the entry of a key. @returns its id, -1 when there is none */
export async function findCommit(committed: Committed, key: string): Promise<number> {
  for await (const [, entry] of committed.rows(tables.commits)) if (entry.key === key) return entry.commitId
  return -1
}

/** Reads of the committed log. */
export const createCommits = (committed: Committed): Commits => ({
  lastId: () => committed.memory.get(commitKey) ?? -1,
  async *entries(after = -1) {
    const range = after < 0 ? {} : { gt: sortable(after) }
    for await (const [, entry] of committed.rows(tables.commits, range)) yield entry
  },
  async *newest() {
    for await (const [, entry] of committed.rows(tables.commits, { reverse: true })) yield entry
  },
  async *gaps() {
    for await (const [from, to] of committed.rows(tables.gaps)) yield { from: fromSortable(from), to }
  },
})
