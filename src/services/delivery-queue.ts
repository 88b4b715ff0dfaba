import type { AtSign } from '../core/at-sign.ts'
import type { Notification } from '../core/notification.ts'
import type { Outbox, Waiting } from '../core/storage.ts'
import type { EphemeralStore } from './ephemeral.ts'

/** A notification that waits for the recipient of a queue. */
export interface Entry {
  /** Names it as long as it waits. */
  readonly token: string
  readonly notification: Notification
  /** Those with the same order arrive one after another: they are about one key, or texts. */
  readonly order: string
}

/** Whether entries of an order may be taken now: `held` ones wait in the queue, `aside` ones are found after a rewind. */
export type Judge = (order: string) => 'free' | 'held' | 'aside'

/** What waits for one recipient, stored or in memory, in the order in which it was sent. */
export interface Queue {
  /** The first entry that is free; it is not taken again before it was put back. */
  take(judge: Judge): Promise<Entry | undefined>
  /** Has an entry found again, by a rewind, if it still waits then. */
  putBack(entry: Entry): void
  /** Whether an entry still waits: it may have been removed or superseded since it was read. */
  waits(entry: Entry): boolean
  /** Begins again at the first that waits, without those that are taken. */
  rewind(): void
  /** More may wait by now. */
  extend(): void
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

/** One of the two places where notifications wait. */
interface Source {
  readonly name: 's' | 'm'
  readonly outbox: Pick<Outbox, 'waits'> & {
    pending(recipient: AtSign, limit: number, behind: number, maxChars: number): Promise<Waiting[]> | Waiting[]
  }
  ahead: Waiting[]
  behind: number
  atEnd: boolean
}

/** Where an entry stands that may be taken. */
type Found = readonly [Source, index: number]

const orderOf = ({ messageType, key }: Notification): string => (messageType === 'text' ? '' : key.toLowerCase())

/** Characters that a notification holds in memory and on its way, about. */
export const charsOf = ({ key, value }: Notification): number => key.length + (value?.length ?? 0)

/** Reads two outboxes as one: each keeps its own order, and between them the earlier notification comes first. */
export function createQueue(recipient: AtSign, store: Outbox, memory: EphemeralStore): Queue {
  const source = (name: Source['name'], outbox: Source['outbox']): Source => ({
    ...{ name, outbox, ahead: [], behind: 0, atEnd: false },
  })
  const sources = [source('s', store), source('m', memory)] as const
  const taken = new Set<string>()
  let chars = 0
  /** Grow, so that a read notices what happened meanwhile. */
  let rewinds = 0
  let extensions = 0

  const tokenOf = ({ name }: Source, { place }: Waiting): string => `${name}${place}`

  const read = async (from: Source): Promise<void> => {
    const [before, known] = [rewinds, extensions]
    const found = await from.outbox.pending(recipient, chunk, from.behind, readAheadChars)
    if (rewinds !== before) return
    const size = found.reduce((sum, { notification }) => sum + charsOf(notification), 0)
    from.atEnd = found.length < chunk && size < readAheadChars && extensions === known
    from.behind = found.at(-1)?.place ?? from.behind
    for (const waiting of found) {
      if (taken.has(tokenOf(from, waiting))) continue
      from.ahead.push(waiting)
      chars += charsOf(waiting.notification)
    }
  }

  /** Of each source, where the first entry stands that may be taken; those that stand aside are dropped. */
  const find = (from: Source, judge: Judge): number => {
    for (let index = 0; index < from.ahead.length; index++) {
      const waiting = from.ahead[index]
      if (waiting === undefined) break
      const judged = judge(orderOf(waiting.notification))
      if (judged === 'free') return index
      if (judged === 'held') continue
      from.ahead.splice(index--, 1)
      chars -= charsOf(waiting.notification)
    }
    return -1
  }

  /** The earliest that may be taken of what was read. */
  const first = (judge: Judge): Found | undefined => {
    let best: Found | undefined
    for (const from of sources) {
      const index = find(from, judge)
      const at = from.ahead[index]?.notification.at
      if (at === undefined) continue
      const bestAt = best?.[0].ahead[best[1]]?.notification.at
      if (bestAt === undefined || at < bestAt) best = [from, index]
    }
    return best
  }

  const isFull = (): boolean =>
    chars >= readAheadChars || sources.reduce((sum, { ahead }) => sum + ahead.length, 0) >= readAhead

  /** The other source, when something earlier may still have to be read from it. */
  const lagging = ([from, index]: Found): Source | undefined => {
    const at = from.ahead[index]?.notification.at ?? 0
    return sources.find((other) => other !== from && !other.atEnd && (other.ahead.at(-1)?.notification.at ?? 0) <= at)
  }

  const pick = ([from, index]: Found): Entry | undefined => {
    const [waiting] = from.ahead.splice(index, 1)
    if (waiting === undefined) return undefined
    const { notification } = waiting
    chars -= charsOf(notification)
    taken.add(tokenOf(from, waiting))
    return { token: tokenOf(from, waiting), notification, order: orderOf(notification) }
  }

  return {
    async take(judge) {
      for (;;) {
        const found = first(judge)
        const source = found === undefined ? sources.find(({ atEnd }) => !atEnd) : lagging(found)
        if (source === undefined) return found === undefined ? undefined : pick(found)
        // Of a source of which nothing was read, it is not known whether it holds the earlier one.
        if (isFull() && source.ahead.length > 0) return undefined
        await read(source)
      }
    },
    putBack: ({ token }) => void taken.delete(token),
    waits({ token }) {
      const from = sources.find(({ name }) => token.startsWith(name))
      return from?.outbox.waits(recipient, Number(token.slice(1))) === true
    },
    rewind() {
      rewinds++
      for (const from of sources) Object.assign(from, { ahead: [], behind: 0, atEnd: false })
      chars = 0
    },
    extend() {
      extensions++
      for (const from of sources) from.atEnd = false
    },
    holdsMore: () => sources.some(({ ahead }) => ahead.length > 0),
    hasRead: () => sources.some(({ behind }) => behind > 0),
  }
}
