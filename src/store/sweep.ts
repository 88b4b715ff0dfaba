import type { Committed } from './committed.ts'
import type { Database } from './database.ts'
import type { Draft } from './draft.ts'
import { removeEnrollment } from './enrollments.ts'
import { expiryKey, fromExpiryKey, fromSortable, sortable, tables } from './layout.ts'
import { removeNotification } from './notifications.ts'
import { expireRecord } from './records.ts'
import type { Writer } from './writer.ts'

/** Entries removed in one change: other writers wait that long at most. */
const portion = 256

const { prefix } = tables.expiry

async function dueKeys(database: Database, now: number): Promise<string[]> {
  const keys: string[] = []
  for await (const key of database.keys({ prefix, lt: prefix + sortable(now), limit: portion })) {
    keys.push(key.slice(prefix.length))
  }
  return keys
}

/** Removes what one entry points at, unless it expires at another time by now. @returns whether it did */
async function expire(draft: Draft, committed: Committed, entry: string, now: number): Promise<boolean> {
  const { kind, target } = fromExpiryKey(entry)
  const isDue = (at: number | undefined) => at !== undefined && entry === expiryKey(at, kind, target)
  if (kind === 'r') {
    const record = draft.tryGet(tables.records, target)
    if (!isDue(record?.metadata.expiresAt)) return false
    await expireRecord(draft, committed, target, now)
    return true
  }
  if (kind === 'n') {
    const state = draft.tryGet(tables.notificationStates, target)
    if (state === undefined || !isDue(state.expiresAt)) return false
    removeNotification(draft, target, state)
    return true
  }
  const enrollment = draft.tryGet(tables.enrollments, target)
  if (enrollment === undefined || !isDue(enrollment.expiresAt)) return false
  removeEnrollment(draft, enrollment)
  return true
}

/** Removes what expired before `now`, in portions. @returns how many things were removed */
export async function sweep(database: Database, committed: Committed, writer: Writer, now: number): Promise<number> {
  let removed = 0
  for (;;) {
    await database.ready()
    const due = await dueKeys(database, now)
    if (due.length === 0) return removed
    removed += await writer.write(async (draft) => {
      let count = 0
      for (const entry of due) {
        if (await expire(draft, committed, entry, now)) count += 1
        draft.remove(tables.expiry, entry)
      }
      return count
    }, 'group')
  }
}

/** Time of the first entry of the expiry index. */
export async function nextExpiry(database: Database): Promise<number | undefined> {
  await database.ready()
  for await (const key of database.keys({ prefix, limit: 1 })) return fromSortable(key.slice(prefix.length))
  return undefined
}
