import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import { type Log, oncePerMinute } from '../core/log.ts'
import type { Holding, Store } from '../core/storage.ts'

/** Makes room among what peers have sent. */
export interface Crowding {
  /** Another notification of a peer is about to be stored beside those that are held. */
  look(peer: AtSign, held: Holding): void
  close(): void
}

/** Of a peer's room: from here on its oldest notifications go, down to there. What is left is for those that come meanwhile. */
const [full, enough] = [15 / 16, 7 / 8]
/** Between two rounds for one peer, when everything is too young to go. */
const fruitlessMs = 1_000

/** @param room of each peer */
export function createCrowding(parts: {
  store: Pick<Store, 'thinOut'>
  clock: Clock
  log: Log
  room: Holding
}): Crowding {
  const { store, clock, room } = parts
  const warn = oncePerMinute(parts.log, clock)
  /** Peers for which it is done already, or was done in vain a moment ago. */
  const busy = new Set<AtSign>()
  const most: Holding = { count: enough * room.count, bytes: enough * room.bytes }
  let closed = false

  const thinOut = async (peer: AtSign): Promise<number> => {
    try {
      const dropped = await store.thinOut(peer, most, clock.now() - limits.receivedKeepMs)
      if (dropped > 0) warn('a peer sends more than is kept of it; its oldest notifications went', { peer, dropped })
      return dropped
    } catch (error) {
      if (!closed) warn('old notifications of a peer could not be dropped', { peer, reason: String(error) })
      return 0
    }
  }

  return {
    look(peer, { count, bytes }) {
      if ((count < full * room.count && bytes < full * room.bytes) || busy.has(peer) || closed) return
      busy.add(peer)
      void thinOut(peer).then((dropped) => {
        if (dropped > 0 || closed) busy.delete(peer)
        else clock.after(fruitlessMs, () => busy.delete(peer))
      })
    },
    close() {
      closed = true
    },
  }
}
