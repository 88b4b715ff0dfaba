/** One line under way, as far as the memory is concerned that it shares with others. */
export interface LineShare {
  /** Tells how many bytes are held now; may lead to a call of `giveUp`, its own or another's. */
  holds(bytes: number): void
}

/** Memory for the unfinished lines of many connections: each may be long, but not all of them at one time. */
export interface LineBudget {
  /** @param giveUp drops what is held; called while all together hold too much and this one holds most */
  join(giveUp: () => void): LineShare
}

/** @param most bytes of all lines together */
export function createLineBudget(most: number): LineBudget {
  const held = new Map<LineShare, { bytes: number; giveUp: () => void }>()
  let total = 0

  const largest = (): { bytes: number; giveUp: () => void } | undefined => {
    let found: { bytes: number; giveUp: () => void } | undefined
    for (const entry of held.values()) if (found === undefined || entry.bytes > found.bytes) found = entry
    return found
  }

  return {
    join(giveUp) {
      const share: LineShare = {
        holds(bytes) {
          total += bytes - (held.get(share)?.bytes ?? 0)
          if (bytes === 0) held.delete(share)
          else held.set(share, { bytes, giveUp })
          while (total > most) {
            const first = largest()
            if (first === undefined) return
            first.giveUp()
          }
        },
      }
      return share
    },
  }
}
