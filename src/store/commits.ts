import type { Change, Commits } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import { commitKey, sortable, tables } from './layout.ts'
import type { Draft } from './writer.ts'

/** The commit entry that a change replaces. */
export interface Superseded {
  /** -1 when the key has none. */
  readonly commitId: number
  /** Whether the key has no record, only a tombstone. */
  readonly tombstone: boolean
}

/**
 * Writes the commit entry of a change and removes the one it replaces: the log holds one entry a key (page 04, section 1).
 * @returns the new id, -1 for a change outside the log
 */
export function logChange(draft: Draft, key: string, before: Superseded, change: Change): number {
  if (before.commitId !== -1) draft.remove(tables.commits, sortable(before.commitId))
  if (!change.commit) return -1
  const commitId = (draft.get(tables.memory, commitKey) ?? -1) + 1
  draft.put(tables.memory, commitKey, commitId)
  draft.put(tables.meta, commitKey, commitId)
  draft.put(tables.commits, sortable(commitId), { commitId, key, operation: change.operation, opTime: change.opTime })
  // An id that was read by a client and lost in a power cut would be issued again.
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
})
