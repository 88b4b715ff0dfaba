import type { Committed } from './committed.ts'
import type { Database } from './database.ts'
import type { Draft } from './draft.ts'
import { type Table, tables } from './layout.ts'
import { removeNotification } from './notifications.ts'
import { expireRecord } from './records.ts'
import type { Writer } from './writer.ts'

/** What dropping works on. */
export interface ReclaimParts {
  readonly database: Database
  readonly committed: Committed
  readonly writer: Writer
}

/** Entries removed in one change: other writers wait that long at most. */
const portion = 256

/** Visits keys of a table in portions, and lets one change at a time drop what it will. @returns how many were dropped */
async function drop(
  { database, writer }: ReclaimParts,
  table: Table<unknown>,
  start: string,
  one: (draft: Draft, key: string) => boolean | Promise<boolean>,
): Promise<number> {
  const prefix = table.prefix + start
  let dropped = 0
  let behind: string | undefined
  for (;;) {
    await database.ready()
    const keys: string[] = []
    const range = { prefix, limit: portion, ...(behind === undefined ? {} : { gt: behind }) }
    for await (const key of database.keys(range)) keys.push(key)
    behind = keys.at(-1)
    if (behind === undefined) return dropped
    dropped += await writer.write(async (draft) => {
      let count = 0
      for (const key of keys) if (await one(draft, key.slice(table.prefix.length))) count += 1
      return count
    }, 'group')
  }
}

/** Copies of others' records: their owners still have them. */
export const dropCopies = (parts: ReclaimParts, now: number): Promise<number> =>
  drop(parts, tables.records, 'cached:', async (draft, key) => {
    // Without their owners' keys nothing can be decrypted while those are away.
    if (key.startsWith('cached:public:publickey@')) return false
    await expireRecord(draft, parts.committed, key, now)
    return true
  })

/**
 * Notifications that were sent and have reached whom they were for, or never will. Received ones stay until they expire:
 * nobody else has them, and by them a repeat is recognised.
 */
export const dropSettled = (parts: ReclaimParts): Promise<number> =>
  drop(parts, tables.notificationStates, '', (draft, ref) => {
    const state = draft.tryGet(tables.notificationStates, ref)
    if (state?.type !== 'sent' || state.outbox !== undefined) return false
    removeNotification(draft, ref, state)
    return true
  })
