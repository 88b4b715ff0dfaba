/** Recently used values, bounded by their size. */
export interface Cache<V> {
  /** @returns undefined when it is not known; `found.value` undefined when it is known to be absent */
  get(key: string): { readonly value: V | undefined } | undefined
  set(key: string, value: V | undefined): void
  /** Keeps what was offered not long ago already: what is read once, in passing, takes no room from what is read often. */
  offer(key: string, value: V | undefined): void
  clear(): void
}

interface Entry<V> {
  readonly value: V | undefined
  readonly bytes: number
}

interface Generation<V> {
  readonly entries: Map<string, Entry<V>>
  bytes: number
}

/** Beside the youngest one. */
const olderGenerations = 3

/**
 * Generations: a hit in an older one moves to the youngest, and when that holds a quarter of the capacity, the oldest ones are
 * forgotten until the rest holds three quarters at most.
 * A hit in the youngest costs one look-up and no reordering.
 * @param capacity bytes of all generations
 * @param sizeOf approximate bytes of a value; undefined stands for a known absence
 */
export function createCache<V>(capacity: number, sizeOf: (key: string, value: V | undefined) => number): Cache<V> {
  const newGeneration = (): Generation<V> => ({ entries: new Map(), bytes: 0 })
  let young = newGeneration()
  let older: Generation<V>[] = []
  let recurs: ((key: string) => boolean) | undefined

  const take = (generation: Generation<V>, key: string): Entry<V> | undefined => {
    const entry = generation.entries.get(key)
    if (entry === undefined) return undefined
    generation.entries.delete(key)
    generation.bytes -= entry.bytes
    return entry
  }

  const takeOlder = (key: string): Entry<V> | undefined => {
    for (const generation of older) {
      const entry = take(generation, key)
      if (entry !== undefined) return entry
    }
    return undefined
  }

  /** The two oldest become one where hits have left many small ones. */
  const join = (): void => {
    const [next, oldest] = older.splice(-2) as [Generation<V>, Generation<V>]
    for (const [key, entry] of next.entries) oldest.entries.set(key, entry)
    older.push({ entries: oldest.entries, bytes: oldest.bytes + next.bytes })
  }

  const age = (): void => {
    older = [young, ...older].filter(({ entries }) => entries.size > 0)
    young = newGeneration()
    let bytes = older.reduce((sum, generation) => sum + generation.bytes, 0)
    while (bytes > 0.75 * capacity) bytes -= older.pop()?.bytes ?? bytes
    if (older.length > olderGenerations) join()
  }

  const add = (key: string, entry: Entry<V>): void => {
    young.bytes += entry.bytes - (young.entries.get(key)?.bytes ?? 0)
    young.entries.set(key, entry)
    if (young.bytes > capacity / 4) age()
  }

  const set = (key: string, value: V | undefined): void => {
    const bytes = sizeOf(key, value)
    takeOlder(key)
    // One huge record must not push out everything that is hot.
    if (bytes <= capacity / 8) {
      add(key, { value, bytes })
      return
    }
    take(young, key)
  }

  return {
    get(key) {
      const hit = young.entries.get(key)
      if (hit !== undefined) return hit
      const entry = takeOlder(key)
      if (entry !== undefined) add(key, entry)
      return entry
    },
    set,
    offer(key, value) {
      recurs ??= createRecurrence()
      if (recurs(key)) set(key, value)
    },
    clear() {
      young = newGeneration()
      older = []
    },
  }
}

/** More than a cache has places here: a value is kept from the second of two offers between which fewer others were made. */
const recurrenceSlots = 16_384

/** Places in which a key may be remembered: few keys that are asked for in turn would push each other out of one. */
const ways = 4

/**
 * Tells which keys are asked for again.
 * @param slots how many keys it remembers, a power of two; four bytes each
 * @returns a function that says whether a key was asked for not long ago; one in a thousand million is mistaken for another
 */
export function createRecurrence(slots = recurrenceSlots): (key: string) => boolean {
  const seen = new Uint32Array(slots)
  return (key) => {
    let hash = 0x811c9dc5
    for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
    // The lowest bits of neighbouring keys differ little before they are stirred.
    const first = (hash ^ (hash >>> 15)) & (slots - ways)
    const known = seen.subarray(first, first + ways).includes(hash >>> 0)
    if (known) return true
    seen.copyWithin(first + 1, first, first + ways - 1)
    seen[first] = hash
    return false
  }
}
