import type { Draft } from './draft.ts'
import { notificationLog } from './holdings.ts'
import { fromSortable, refOfKey, tables } from './layout.ts'
import { removeNotification } from './notifications.ts'
import type { ReclaimParts } from './reclaim.ts'

/** How long and how much of the notifications is kept at most. What waits for its recipient stays, whatever these say. */
export interface NotificationBounds {
  /** Milliseconds since they arrived or were sent. */
  readonly keepMs: number
  /** Bytes of keys, values and metadata, about. */
  readonly maxBytes: number
}

/** Entries looked at in one change: other writers wait that long at most. */
const portion = 256
/** Share of the bytes to which the log shrinks once it has too many, so that this is not done all the time. */
const enough = 0.9
/** When everything that is too much waits for somebody, it is not looked at again before that. */
const fruitlessMs = 600_000

const { prefix } = tables.notifications

/**
 * Drops notifications that are too old or too many, the oldest first, by their index, which is in the order of time.
 * @returns a function that does so and gives how many were dropped
 */
export function createRetention(
  { database, committed, writer }: ReclaimParts,
  { keepMs, maxBytes }: NotificationBounds,
): (now: number) => Promise<number> {
  let quietUntil = 0

  async function oldest(limit: number, behind?: string): Promise<string[]> {
    await database.ready()
    const keys: string[] = []
    const range = { prefix, limit, ...(behind === undefined ? {} : { gt: behind }) }
    for await (const key of database.keys(range)) keys.push(key)
    return keys
  }

  return async (now) => {
    const isFull = notificationLog(committed).bytes > maxBytes
    const target = isFull ? enough * maxBytes : Number.POSITIVE_INFINITY
    const isTooMuch = (read: Pick<Draft, 'tryGet'>, key: string): boolean =>
      fromSortable(key.slice(prefix.length)) < now - keepMs || notificationLog(read).bytes > target
    const [first] = now < quietUntil ? [] : await oldest(1)
    if (first === undefined || !isTooMuch(committed, first)) return 0
    let dropped = 0
    let isDone = false
    for (let keys = await oldest(portion); keys.length > 0 && !isDone; keys = await oldest(portion, keys.at(-1))) {
      dropped += await writer.write(async (draft) => {
        let count = 0
        for (const key of keys) {
          isDone = !isTooMuch(draft, key)
          if (isDone) break
          const ref = refOfKey(key.slice(prefix.length))
          const state = draft.tryGet(tables.notificationStates, ref)
          if (state === undefined || state.outbox !== undefined) continue
          removeNotification(draft, ref, state)
          count += 1
        }
        return count
      }, 'none')
    }
    if (dropped === 0) quietUntil = now + fruitlessMs
    return dropped
  }
}
