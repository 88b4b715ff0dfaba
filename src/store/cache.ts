/** Least recently used values, bounded by their size. */
export interface Cache<V> {
  /** @returns undefined when it is not known; `found.value` undefined when it is known to be absent */
  get(key: string): { readonly value: V | undefined } | undefined
  set(key: string, value: V | undefined): void
  clear(): void
}

interface Entry<V> {
  readonly value: V | undefined
  readonly bytes: number
}

/**
 * @param capacity bytes
 * @param sizeOf approximate bytes of a value; undefined stands for a known absence
 */
export function createCache<V>(capacity: number, sizeOf: (key: string, value: V | undefined) => number): Cache<V> {
  const entries = new Map<string, Entry<V>>()
  let total = 0

  function drop(key: string): void {
    const entry = entries.get(key)
    if (entry === undefined) return
    total -= entry.bytes
    entries.delete(key)
  }

  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      // A Map keeps the order of insertion: the oldest entry is the least recently used one.
      entries.delete(key)
      entries.set(key, entry)
      return entry
    },
    set(key, value) {
      drop(key)
      const bytes = sizeOf(key, value)
      // One huge record must not push out everything that is hot.
      if (bytes > capacity / 8) return
      entries.set(key, { value, bytes })
      total += bytes
      for (const oldest of entries.keys()) {
        if (total <= capacity) return
        drop(oldest)
      }
    },
    clear() {
      entries.clear()
      total = 0
    },
  }
}
