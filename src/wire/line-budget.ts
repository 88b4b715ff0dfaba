/** One line under way, as far as the memory is concerned that it shares with others. */
export interface LineShare {
  /** Tells how many bytes are held now; may lead to a call of `giveUp`, its own or another's. */
  holds(bytes: number): void
}

/** Memory for the long lines of many connections: each may be long, but not all of them at one time. */
export interface LineBudget {
  /** @param giveUp drops what is held; called while all together hold too much and this one holds most */
  join(giveUp: () => void): LineShare
  /**
   * Holds a line that is complete until it was dealt with. Longer ones that are still under way give way to it.
   * @returns what gives its bytes back, once; undefined when there is no room for it
   */
  take(bytes: number): (() => void) | undefined
  /** Bytes of all lines now. */
  held(): number
}

/** @param most bytes of all lines together */
export function createLineBudget(most: number): LineBudget {
  const underWay = new Map<LineShare, { bytes: number; giveUp: () => void }>()
  let total = 0

  const largest = (): { bytes: number; giveUp: () => void } | undefined => {
    let found: { bytes: number; giveUp: () => void } | undefined
    for (const entry of underWay.values()) if (found === undefined || entry.bytes > found.bytes) found = entry
    return found
  }

  /** Has lines give way that are longer than so many bytes, as long as all together hold too much. */
  const makeRoom = (bytes: number): void => {
    while (total > most) {
      const first = largest()
      if (first === undefined || first.bytes <= bytes) return
      first.giveUp()
    }
  }

  return {
    join(giveUp) {
      const share: LineShare = {
        holds(bytes) {
          total += bytes - (underWay.get(share)?.bytes ?? 0)
          if (bytes === 0) underWay.delete(share)
          else underWay.set(share, { bytes, giveUp })
          makeRoom(0)
        },
      }
      return share
    },
    take(bytes) {
      total += bytes
      makeRoom(bytes)
      let taken = bytes
      const giveBack = (): void => {
        total -= taken
        taken = 0
      }
      if (total <= most) return giveBack
      giveBack()
      return undefined
    },
    held: () => total,
  }
}
