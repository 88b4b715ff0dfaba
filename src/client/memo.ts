/** Remembers promises by name, the latest used ones only; a promise that fails is forgotten at once. */
export interface Memo<T> {
  /** The remembered promise, or that of `make`. */
  get(name: string, make: () => Promise<T>): Promise<T>
  /** Forgets a name, or only that promise of it when one is given. */
  forget(name: string, promise?: Promise<T>): void
}

/** @param most names remembered; one more and the one unused for longest is forgotten */
export function createMemo<T>(most: number): Memo<T> {
  const known = new Map<string, Promise<T>>()
  return {
    get(name, make) {
      const found = known.get(name)
      const promise = found ?? make()
      known.delete(name)
      known.set(name, promise)
      if (found !== undefined) return found
      promise.catch(() => {
        if (known.get(name) === promise) known.delete(name)
      })
      const oldest = known.keys().next()
      if (known.size > most && !oldest.done) known.delete(oldest.value)
      return promise
    },
    forget(name, promise) {
      if (promise === undefined || known.get(name) === promise) known.delete(name)
    },
  }
}
