import { limits } from '../core/limits.ts'
import { charsOf, type Entry } from './delivery-order.ts'

/** Notifications that are on their way to one recipient, of each key one at most. */
export interface Window {
  size(): number
  /** Whether one of this key is on its way. */
  holds(order: string): boolean
  /** Whether one more may leave, while `most` may be on their way; a lone one always may. */
  hasRoom(most: number): boolean
  add(entry: Entry): void
  /** The next of its key may go. Does nothing for one that is not there any more. */
  remove(entry: Entry): void
}

export function createWindow(): Window {
  const tokens = new Set<string>()
  const orders = new Set<string>()
  let chars = 0
  return {
    size: () => tokens.size,
    holds: (order) => orders.has(order),
    hasRoom: (most) => tokens.size === 0 || (tokens.size < most && chars < limits.deliveryChars),
    add({ token, order, notification }) {
      tokens.add(token)
      orders.add(order)
      chars += charsOf(notification)
    },
    remove({ token, order, notification }) {
      if (!tokens.delete(token)) return
      orders.delete(order)
      chars -= charsOf(notification)
    },
  }
}
