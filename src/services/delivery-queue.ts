import type { AtSign } from '../core/at-sign.ts'
import type { Notification, Priority } from '../core/notification.ts'
import type { Outbox, Waiting } from '../core/storage.ts'
import type { EphemeralStore } from './ephemeral.ts'
import { createTextFilter, type TextFilter } from './text-filter.ts'

/** A notification that waits for the recipient of a queue. */
export interface Entry {
  /** Names it as long as it waits. */
  readonly token: string
  readonly notification: Notification
  /** As in `Waiting`. */
  readonly known?: unknown
  /** Those with the same order arrive one after another: they are about one key, or texts. */
  readonly order: string
}

/** Whether entries of an order may be taken now: `held` ones wait in the queue, `aside` ones are found after a rewind. */
export type Judge = (order: string) => 'free' | 'held' | 'aside'

/** What waits for one recipient, stored or in memory, the more urgent first and else in the order in which it was sent. */
export interface Queue {
  /** The first entry that is free; it is not taken again before it was put back. */
  take(judge: Judge): Promise<Entry | undefined>
  /** The same where nothing has to be read for it; undefined tells nothing. */
  takeRead(judge: Judge): Entry | undefined
  /** Has an entry found again, by a rewind, if it still waits then. */
  putBack(entry: Entry): void
  /** Whether an entry still waits: it may have been removed or superseded since it was read. */
  waits(entry: Entry): boolean
  /** Begins again at the first that waits, without those that are taken. */
  rewind(): void
  /** More may wait by now: this one, which has just been stored, where it is told. */
  extend(stored?: Waiting): void
  /** Whether more than what is taken is known to wait. */
  holdsMore(): boolean
  /** False right after a rewind. */
  hasRead(): boolean
}

/** Entries read in one go. */
const chunk = 64
/** Entries read ahead of those that can be sent: others behind many of one key are seen. */
const readAhead = 512
/** Characters read ahead, and in one go: both bound the memory that one recipient takes. */
const readAheadChars = 262_144

/** Orders that are noted before all that still wait are noted anew, and the others forgotten, at the least. */
const fewestNotes = 64

/** What waits with one priority in one of the two places where notifications wait. */
interface Source {
  readonly name: 's' | 'm'
  /** 0 for the priority that goes first. */
  readonly rank: number
  /** Those behind a place, of this priority only. */
  pending(limit: number, behind: number): Promise<Waiting[]> | Waiting[]
  ahead: Ranked[]
  behind: number
  atEnd: boolean
  /** Orders of those that were read to be noted, behind what place that goes on, and up to when all are noted. */
  notes: { readonly at: number; readonly order: string }[]
  notedBehind: number
  notedUntil: number
}

/** One that was read, with the rank at which it goes: that of an earlier one of its order which is less urgent, or its own. */
interface Ranked extends Entry {
  readonly rank: number
}

/** Where an entry stands that may be taken. */
interface Found {
  readonly from: Source
  readonly index: number
  readonly rank: number
  readonly at: number
}

const priorities: readonly Priority[] = ['high', 'medium', 'low']
const lowest = priorities.length - 1

/** Whether one goes before another: more urgent, or as urgent and earlier. */
const goesBefore = (one: Found, other: Found): boolean =>
  one.rank < other.rank || (one.rank === other.rank && one.at < other.at)

const orderOf = ({ messageType, key }: Notification): string => (messageType === 'text' ? '' : key.toLowerCase())

/** Characters that a notification holds in memory and on its way, about. */
export const charsOf = ({ key, value }: Notification): number => key.length + (value?.length ?? 0)

/**
 * Reads two outboxes as one. The more urgent goes first, and of those with one priority the earlier, but none before an
 * earlier one of its order. To know of those without holding them, the orders of less urgent ones are noted in a set of
 * fixed size; where that errs, an urgent one goes as if it were less so.
 */
export function createQueue(recipient: AtSign, store: Outbox, memory: EphemeralStore): Queue {
  const source = (name: Source['name'], outbox: Outbox | EphemeralStore, priority: Priority): Source => ({
    ...{ name, rank: priorities.indexOf(priority) },
    pending: (limit, behind) => outbox.pending(recipient, limit, behind, readAheadChars, priority),
    ...unread(),
  })
  const unread = () => ({ ahead: [], behind: 0, atEnd: false, notes: [], notedBehind: 0, notedUntil: -1 })
  const sources = priorities.flatMap((priority) => [source('s', store, priority), source('m', memory, priority)])
  /** By rank, and how many orders each holds and may hold before it is begun anew. */
  let noted: (TextFilter | undefined)[] = []
  const notes = priorities.map(() => ({ count: 0, most: fewestNotes }))
  const taken = new Set<string>()
  let chars = 0
  /** Grow, so that a read notices what happened meanwhile. */
  let rewinds = 0
  let extensions = 0

  const ranked = ({ name }: Source, { place, notification, known }: Waiting, rank: number): Ranked => {
    const token = `${name}${place}`
    return { token, order: orderOf(notification), notification, known, rank }
  }

  const countOf = (rank: number): { count: number; most: number } => notes[rank] ?? { count: 0, most: fewestNotes }

  /** Forgets noted orders of which many may be over by now: what waits, and what is on its way, is noted anew. */
  const forgetNotes = (rank: number): boolean => {
    const known = countOf(rank)
    if (known.count < known.most) return false
    known.count = 0
    noted[rank] = undefined
    for (const from of sources) {
      if (from.rank === rank) Object.assign(from, { notes: [], notedBehind: 0, notedUntil: -1 })
    }
    return true
  }

  /** Notes the orders of what a source holds from before a moment. */
  const noteUntil = async (from: Source, at: number): Promise<void> => {
    const before = rewinds
    for (;;) {
      for (let next = from.notes[0]; next !== undefined && next.at <= at; next = from.notes[0]) {
        const filter = noted[from.rank] ?? createTextFilter()
        noted[from.rank] = filter
        filter.add(next.order)
        countOf(from.rank).count++
        from.notes.shift()
      }
      if (from.notes.length > 0 || from.notedUntil >= at) return
      const found = await from.pending(chunk, from.notedBehind)
      if (rewinds !== before) return
      if (found.length === 0) from.notedUntil = at
      from.notedBehind = found.at(-1)?.place ?? from.notedBehind
      from.notes = found.map(({ notification }) => ({ at: notification.at, order: orderOf(notification) }))
    }
  }

  const rankOf = async ({ rank }: Source, notification: Notification): Promise<number> => {
    for (const other of sources) if (other.rank > rank) await noteUntil(other, notification.at)
    for (let lower = lowest; lower > rank; lower--) if (noted[lower]?.mayHold(orderOf(notification))) return lower
    return rank
  }

  const read = async (from: Source): Promise<void> => {
    const [before, known] = [rewinds, extensions]
    // One of these may end during the read, and what was read of it says that it waits.
    const busy = new Set(taken)
    const found: Ranked[] = []
    let { behind } = from
    const renewed = priorities.map((_, rank) => rank).filter((rank) => rank > from.rank && forgetNotes(rank))
    for (const waiting of await from.pending(chunk, from.behind)) {
      found.push(ranked(from, waiting, await rankOf(from, waiting.notification)))
      behind = waiting.place
    }
    if (rewinds !== before) return
    // Noting them all again costs half of what was noted since at the most.
    for (const rank of renewed) countOf(rank).most = Math.max(fewestNotes, 2 * countOf(rank).count)
    const size = found.reduce((sum, { notification }) => sum + charsOf(notification), 0)
    from.atEnd = found.length < chunk && size < readAheadChars && extensions === known
    from.behind = behind
    for (const waiting of found) {
      if (busy.has(waiting.token)) continue
      from.ahead.push(waiting)
      chars += charsOf(waiting.notification)
    }
  }

  /** Of a source, what goes first of those that may be taken; those that stand aside are dropped. */
  const find = (from: Source, judge: Judge): Found | undefined => {
    let best: Found | undefined
    for (let index = 0; index < from.ahead.length; index++) {
      const waiting = from.ahead[index]
      if (waiting === undefined) break
      const { rank, notification, order } = waiting
      const judged = judge(order)
      if (judged === 'aside') {
        from.ahead.splice(index--, 1)
        chars -= charsOf(notification)
      } else if (judged === 'free') {
        const found = { from, index, rank, at: notification.at }
        if (best === undefined || goesBefore(found, best)) best = found
        if (rank === from.rank) break
      }
    }
    return best
  }

  /** What goes first of all that was read and may be taken. */
  const first = (judge: Judge): Found | undefined => {
    let best: Found | undefined
    for (const from of sources) {
      const found = find(from, judge)
      if (found !== undefined && (best === undefined || goesBefore(found, best))) best = found
    }
    return best
  }

  const isFull = (): boolean =>
    chars >= readAheadChars || sources.reduce((sum, { ahead }) => sum + ahead.length, 0) >= readAhead

  /** Whether a source may still hold something as urgent that came earlier. */
  const isLagging = (other: Source, { from, rank, at }: Found): boolean =>
    other !== from && other.rank === rank && (other.ahead.at(-1)?.notification.at ?? 0) <= at

  /** A source that has to be read further before it is known what goes first. */
  const unreadSource = (found: Found | undefined): Source | undefined => {
    const isStuck = (other: Source): boolean => isFull() && other.ahead.length > 0
    return sources.find((other) => {
      if (other.atEnd) return false
      if (found === undefined || isLagging(other, found)) return true
      // Behind more than can be read ahead, the urgent waits its turn.
      return other.rank < found.rank && !isStuck(other)
    })
  }

  const pick = ({ from, index }: Found): Entry | undefined => {
    const [waiting] = from.ahead.splice(index, 1)
    if (waiting === undefined) return undefined
    chars -= charsOf(waiting.notification)
    taken.add(waiting.token)
    return waiting
  }

  /**
   * Spares the store a read: one behind everything that was read is as good as read. Less urgent ones are noted for a more
   * urgent one, so that only the least urgent ones are taken like that. @returns whether it was
   */
  const takesNext = (stored: Waiting): boolean => {
    const from = sources.find(({ name, rank }) => name === 's' && rank === lowest)
    const { notification, place } = stored
    const isLeast = notification.priority === priorities[lowest]
    if (from === undefined || !from.atEnd || !isLeast || place <= from.behind || isFull()) return false
    from.ahead.push(ranked(from, stored, lowest))
    from.behind = place
    chars += charsOf(notification)
    return true
  }

  return {
    async take(judge) {
      for (;;) {
        const found = first(judge)
        const next = unreadSource(found)
        if (next === undefined) return found && pick(found)
        // Of a source of which nothing was read, it is not known whether it holds the earlier one.
        if (isFull() && next.ahead.length > 0) {
          // What fills it stands in line behind what is on its way, or else there is something to take.
          return found !== undefined && taken.size === 0 ? pick(found) : undefined
        }
        await read(next)
      }
    },
    takeRead(judge) {
      const found = first(judge)
      return found !== undefined && unreadSource(found) === undefined ? pick(found) : undefined
    },
    putBack: ({ token }) => void taken.delete(token),
    waits: ({ token, known }) =>
      (token.startsWith('s') ? store : memory).waits(recipient, Number(token.slice(1)), known),
    rewind() {
      rewinds++
      for (const from of sources) Object.assign(from, unread())
      noted = []
      for (const each of notes) each.count = 0
      chars = 0
    },
    extend(stored) {
      extensions++
      if (stored !== undefined && takesNext(stored)) return
      for (const from of sources) from.atEnd = false
    },
    holdsMore: () => sources.some(({ ahead }) => ahead.length > 0),
    hasRead: () => sources.some(({ behind }) => behind > 0),
  }
}
