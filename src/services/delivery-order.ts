import type { Notification, Priority } from '../core/notification.ts'
import type { Waiting } from '../core/storage.ts'
import { numberOf } from '../store/layout.ts'

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

/** The one that goes first comes first; its index is the rank. */
export const priorities: readonly Priority[] = ['high', 'medium', 'low']
export const lowest = priorities.length - 1

/** The two places where notifications wait: stored, or in memory. */
export type PlaceName = 's' | 'm'

/** When one was queued: in one place by number, which no clock changes and no two share; beside the other place by time. */
export interface Queued {
  readonly name: PlaceName
  readonly number: number
  readonly at: number
  /** As in `Entry`. */
  readonly order: string
}

/** One that waits, with the rank at which it goes: that of an earlier one of its order which is less urgent, or its own. */
export interface Ranked {
  readonly rank: number
  readonly queued: Queued
}

/** Characters that a notification holds in memory and on its way, about. */
export const charsOf = ({ key, value }: Notification): number => key.length + (value?.length ?? 0)

const orderOf = ({ messageType, key }: Notification): string => (messageType === 'text' ? '' : key.toLowerCase())

export const queuedIn = (name: PlaceName, { place, notification }: Waiting): Queued => {
  return { name, number: numberOf(place), at: notification.at, order: orderOf(notification) }
}

export const isEarlier = (one: Queued, other: Queued): boolean =>
  one.name === other.name ? one.number < other.number : one.at < other.at

/** Whether one goes before another: more urgent, or as urgent and earlier. */
export const goesBefore = (one: Ranked, other: Ranked): boolean =>
  one.rank < other.rank || (one.rank === other.rank && isEarlier(one.queued, other.queued))
