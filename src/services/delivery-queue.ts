import type { AtSign } from '../core/at-sign.ts'
import type { Priority } from '../core/notification.ts'
import type { Outbox, Waiting } from '../core/storage.ts'
import {
  charsOf,
  type Entry,
  goesBefore,
  isEarlier,
  type Judge,
  lowest,
  type PlaceName,
  priorities,
  type Queued,
  queuedIn,
  type Ranked,
} from './delivery-order.ts'
import type { EphemeralStore } from './ephemeral.ts'
import { createTextFilter, type TextFilter } from './text-filter.ts'

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
  readonly name: PlaceName
  /** 0 for the priority that goes first. */
  readonly rank: number
  /** Those behind a place, of this priority only. */
  pending(limit: number, behind: number): Promise<Waiting[]> | Waiting[]
  ahead: Read[]
  behind: number
  atEnd: boolean
  /** Those that were read to be noted, behind what place that goes on, and up to whom all are noted. */
  notes: Queued[]
  notedBehind: number
  notedUntil: Queued | undefined
}

type Read = Entry & Ranked

/** Where an entry stands that may be taken. */
interface Found extends Ranked {
  readonly from: Source
  readonly index: number
}

/**
 * Reads two outboxes as one. The more urgent goes first, and of those with one priority the earlier, but none before an
 * earlier one of its order. To know of those without holding them, the orders of less urgent ones are noted in a set of
 * fixed size; where that errs, an urgent one goes as if it were less so.
 */
export function createQueue(recipient: AtSign, store: Outbox, memory: EphemeralStore): Queue {
  const source = (name: PlaceName, outbox: Outbox | EphemeralStore, priority: Priority): Source => ({
    ...{ name, rank: priorities.indexOf(priority) },
    pending: (limit, behind) => outbox.pending(recipient, limit, behind, readAheadChars, priority),
    ...unread(),
  })
  const unread = () => ({ ahead: [], behind: 0, atEnd: false, notes: [], notedBehind: 0, notedUntil: undefined })
  const sources = priorities.flatMap((priority) => [source('s', store, priority), source('m', memory, priority)])
  /** By rank, and how many orders each holds and may hold before it is begun anew. */
  let noted: (TextFilter | undefined)[] = []
  const notes = priorities.map(() => ({ count: 0, most: fewestNotes }))
  const taken = new Set<string>()
  let chars = 0
  /** Grow, so that a read notices what happened meanwhile. */
  let rewinds = 0
  let extensions = 0

  const ranked = ({ name }: Source, { place, notification, known }: Waiting, queued: Queued, rank: number): Read => {
    return { token: `${name}${place}`, order: queued.order, notification, known, rank, queued }
  }

  const countOf = (rank: number): { count: number; most: number } => notes[rank] ?? { count: 0, most: fewestNotes }

  /** Forgets noted orders of which many may be over by now: what waits, and what is on its way, is noted anew. */
  const forgetNotes = (rank: number): boolean => {
    const known = countOf(rank)
    if (known.count < known.most) return false
    known.count = 0
    noted[rank] = undefined
    for (const from of sources) {
      if (from.rank === rank) Object.assign(from, { notes: [], notedBehind: 0, notedUntil: undefined })
    }
    return true
  }

  /** Notes the orders of what a source holds from before another one. @param last of those that were read with it */
  const noteUntil = async (from: Source, queued: Queued, last: Queued | undefined): Promise<void> => {
    const before = rewinds
    for (;;) {
      for (let next = from.notes[0]; next !== undefined && !isEarlier(queued, next); next = from.notes[0]) {
        const filter = noted[from.rank] ?? createTextFilter()
        noted[from.rank] = filter
        filter.add(next.order)
        countOf(from.rank).count++
        from.notes.shift()
      }
      const { notedUntil } = from
      if (from.notes.length > 0 || (notedUntil?.name === queued.name && !isEarlier(notedUntil, queued))) return
      const found = await from.pending(chunk, from.notedBehind)
      if (rewinds !== before) return
      if (found.length === 0) from.notedUntil = last
      from.notedBehind = found.at(-1)?.place ?? from.notedBehind
      from.notes = found.map((waiting) => queuedIn(from.name, waiting))
    }
  }

  const rankOf = async ({ rank }: Source, queued: Queued, last: Queued | undefined): Promise<number> => {
    for (const other of sources) if (other.rank > rank) await noteUntil(other, queued, last)
    for (let lower = lowest; lower > rank; lower--) if (noted[lower]?.mayHold(queued.order)) return lower
    return rank
  }

  const read = async (from: Source): Promise<void> => {
    const [before, known] = [rewinds, extensions]
    // One of these may end during the read, and what was read of it says that it waits.
    const busy = new Set(taken)
    const found: Read[] = []
    let { behind } = from
    const renewed = priorities.map((_, rank) => rank).filter((rank) => rank > from.rank && forgetNotes(rank))
    const pending = await from.pending(chunk, from.behind)
    const last = pending.at(-1)
    const until = last && queuedIn(from.name, last)
    for (const waiting of pending) {
      const queued = queuedIn(from.name, waiting)
      found.push(ranked(from, waiting, queued, await rankOf(from, queued, until)))
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
      const { rank, notification, order, queued } = waiting
      const judged = judge(order)
      if (judged === 'aside') {
        from.ahead.splice(index--, 1)
        chars -= charsOf(notification)
      } else if (judged === 'free') {
        const found = { from, index, rank, queued }
        if (best === undefined || goesBefore(found, best)) best = found
        if (rank === from.rank) break
      }
    }
    return best
  }

  const mostUrgent = (judge: Judge): Found | undefined => {
    let best: Found | undefined
    for (const from of sources) {
      const found = find(from, judge)
      if (found !== undefined && (best === undefined || goesBefore(found, best))) best = found
    }
    return best
  }

  /** Has one wait behind an earlier one of its order that goes as if it were less urgent. @returns whether there is one */
  const fallBack = ({ from, index, rank, queued }: Found): boolean => {
    const one = from.ahead[index]
    if (one === undefined || rank === lowest) return false
    const isSlower = (other: Read): boolean =>
      other.rank > rank && other.order === one.order && isEarlier(other.queued, queued)
    const slower = sources.flatMap(({ ahead }) => ahead).find(isSlower)
    if (slower !== undefined) from.ahead[index] = { ...one, rank: slower.rank }
    return slower !== undefined
  }

  /** What goes first of all that was read and may be taken. */
  const first = (judge: Judge): Found | undefined => {
    let found = mostUrgent(judge)
    // An earlier one may be taken for less urgent than when this one was read.
    while (found !== undefined && fallBack(found)) found = mostUrgent(judge)
    return found
  }

  const isFull = (): boolean =>
    chars >= readAheadChars || sources.reduce((sum, { ahead }) => sum + ahead.length, 0) >= readAhead

  /** Whether a source may still hold something as urgent that came earlier. */
  const isLagging = (other: Source, { from, rank, queued }: Found): boolean => {
    if (other === from || other.rank !== rank) return false
    const last = other.ahead.at(-1)
    return last === undefined || !isEarlier(queued, last.queued)
  }

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
    from.ahead.push(ranked(from, stored, queuedIn(from.name, stored), lowest))
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
