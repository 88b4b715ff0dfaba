/** Keeps account of what a broker retains. */
export interface RetainedBudget {
  /** Whether one more retained message fits; it is then counted. An empty payload takes its topic out. */
  admit(topic: string, bytes: number): boolean
}

/** A budget of topics and of bytes (topics and payloads together). */
export function createRetainedBudget(most: { topics: number; bytes: number }): RetainedBudget {
  const sizes = new Map<string, number>()
  let total = 0
  return {
    admit(topic, bytes) {
      const before = sizes.get(topic) ?? 0
      const size = bytes === 0 ? 0 : Buffer.byteLength(topic) + bytes
      if (size > before && total - before + size > most.bytes) return false
      if (size > 0 && before === 0 && sizes.size >= most.topics) return false
      total += size - before
      if (size === 0) sizes.delete(topic)
      else sizes.set(topic, size)
      return true
    },
  }
}
