import type { AtSign } from '../core/at-sign.ts'
import type { Holding } from '../core/storage.ts'
import { holdingOf } from './holdings.ts'
import { notificationKey, refOfKey, sortable, tables } from './layout.ts'
import { removeNotification } from './notifications.ts'
import type { ReclaimParts } from './reclaim.ts'

/** Entries looked at in one change: other writers wait that long at most. */
const portion = 256

const { prefix } = tables.notifications

/**
 * Drops what one atSign has sent, the oldest first, until no more of it is held than `most`.
 * @returns a function that does so with what arrived before a time, and gives how many were dropped
 */
export function createCrowd({
  database,
  committed,
  writer,
}: ReclaimParts): (sender: AtSign, most: Holding, before: number) => Promise<number> {
  /** LevelDB walks over what was dropped until its tables are written anew: the next round begins behind it. */
  let reached: { readonly sender: AtSign; readonly key: string } | undefined

  async function next(before: number, behind: string | undefined): Promise<string[]> {
    await database.ready()
    const keys: string[] = []
    const range = {
      prefix,
      lt: prefix + sortable(before),
      limit: portion,
      ...(behind === undefined ? {} : { gt: behind }),
    }
    for await (const key of database.keys(range)) keys.push(key)
    return keys
  }

  const isOf = (sender: AtSign, key: string): boolean =>
    committed.tryGet(tables.notificationStates, refOfKey(key.slice(prefix.length)))?.sender === sender

  /** @returns whether no more is held than `most`, and how many were dropped */
  const drop = (sender: AtSign, most: Holding, keys: readonly string[]): Promise<{ isDone: boolean; count: number }> =>
    writer.write((draft) => {
      let count = 0
      for (const key of keys) {
        const held = holdingOf(draft, 'notifications', sender)
        if (held.count <= most.count && held.bytes <= most.bytes) return { isDone: true, count }
        reached = { sender, key }
        const ref = refOfKey(key.slice(prefix.length))
        const state = draft.tryGet(tables.notificationStates, ref)
        if (state === undefined || prefix + notificationKey(state.at, ref) !== key) continue
        removeNotification(draft, ref, state)
        count += 1
      }
      return { isDone: false, count }
    }, 'none')

  return async (sender, most, before) => {
    let dropped = 0
    let behind = reached?.sender === sender ? reached.key : undefined
    for (let keys = await next(before, behind); keys.length > 0; keys = await next(before, behind)) {
      behind = keys.at(-1)
      const theirs = keys.filter((key) => isOf(sender, key))
      const { isDone, count } = theirs.length === 0 ? { isDone: false, count: 0 } : await drop(sender, most, theirs)
      dropped += count
      if (isDone) return dropped
    }
    reached = undefined
    return dropped
  }
}
