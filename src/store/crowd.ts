import type { AtSign } from '../core/at-sign.ts'
import type { Holding } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import type { Database } from './database.ts'
import type { Draft } from './draft.ts'
import { holdingOf } from './holdings.ts'
import { notificationKey, refOfKey, sortable, tables } from './layout.ts'
import { removeNotification } from './notifications.ts'
import type { Writer } from './writer.ts'

/** Entries looked at in one change: other writers wait that long at most. */
const portion = 256
/** Crowded atSigns of which it is known how far they were looked through; of others that begins at the beginning. */
const mostKnown = 64
/** After this time it begins at the beginning as well: what a clock or a repair has put there is found. */
const againMs = 600_000

const { prefix } = tables.notifications

/** What dropping works on. */
export interface CrowdParts {
  readonly database: Pick<Database, 'ready' | 'keys'>
  readonly committed: Pick<Committed, 'tryGet'>
  readonly writer: Pick<Writer, 'write'>
}

/** Nothing up to a key is left to be dropped. */
interface Reached {
  readonly key: string
  /** When that was begun at the beginning. */
  readonly begun: number
}

/** Drops the oldest of some keys until no more is held than `most`. @returns how many of the keys were dealt with, and dropped */
function dropOldest(
  draft: Draft,
  sender: AtSign,
  most: Holding,
  keys: readonly string[],
): { seen: number; count: number } {
  let count = 0
  for (const [seen, key] of keys.entries()) {
    const held = holdingOf(draft, 'notifications', sender)
    if (held.count <= most.count && held.bytes <= most.bytes) return { seen, count }
    const ref = refOfKey(key.slice(prefix.length))
    const state = draft.tryGet(tables.notificationStates, ref)
    if (state === undefined || prefix + notificationKey(state.at, ref) !== key) continue
    removeNotification(draft, ref, state)
    count += 1
  }
  return { seen: keys.length, count }
}

/**
 * Drops what one atSign has sent, the oldest first, until no more of it is held than `most`.
 * @returns a function that does so with what arrived before a time, and gives how many were dropped
 */
export function createCrowd({
  database,
  committed,
  writer,
}: CrowdParts): (sender: AtSign, most: Holding, before: number) => Promise<number> {
  /** A round begins where the last one for the same atSign ended: all that others hold is not read again and again. */
  const reached = new Map<AtSign, Reached>()

  async function next(to: string, behind: string | undefined): Promise<string[]> {
    await database.ready()
    const keys: string[] = []
    const range = { prefix, lt: to, limit: portion, ...(behind === undefined ? {} : { gt: behind }) }
    for await (const key of database.keys(range)) keys.push(key)
    return keys
  }

  const isOf = (sender: AtSign, key: string): boolean =>
    committed.tryGet(tables.notificationStates, refOfKey(key.slice(prefix.length)))?.sender === sender

  /** Until all is written, nothing counts as reached. */
  function take(sender: AtSign, to: string, before: number): Partial<Reached> & Pick<Reached, 'begun'> {
    const last = reached.get(sender)
    reached.delete(sender)
    const goesOn = last !== undefined && last.key < to && Math.abs(before - last.begun) < againMs
    return goesOn ? last : { begun: before }
  }

  function remember(sender: AtSign, key: string | undefined, begun: number): void {
    if (key === undefined) return
    reached.set(sender, { key, begun })
    const [oldest] = reached.keys()
    if (reached.size > mostKnown && oldest !== undefined) reached.delete(oldest)
  }

  return async (sender, most, before) => {
    const to = prefix + sortable(before)
    const { key, begun } = take(sender, to, before)
    let behind = key
    let dropped = 0
    for (let keys = await next(to, behind); keys.length > 0; keys = await next(to, behind)) {
      const theirs = keys.filter((each) => isOf(sender, each))
      const { seen, count } =
        theirs.length === 0
          ? { seen: 0, count: 0 }
          : await writer.write((draft) => dropOldest(draft, sender, most, theirs), 'none')
      dropped += count
      if (seen < theirs.length) {
        behind = theirs[seen - 1] ?? behind
        break
      }
      behind = keys.at(-1)
    }
    remember(sender, behind, begun)
    return dropped
  }
}
