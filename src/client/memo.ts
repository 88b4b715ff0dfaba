/** Remembers what was fetched by name, the latest used ones only; a promise that fails is forgotten at once. */
export interface Memo<T> {
  /** What is remembered, or the promise of `make`; the value itself once it is there. */
  get(name: string, make: () => Promise<T>): T | Promise<T>
  /** Forgets a name, or only that value of it when one is given. */
  forget(name: string, value?: T): void
}

/** @param most names remembered; one more and the one unused for longest is forgotten */
export function createMemo<T>(most: number): Memo<T> {
  const known = new Map<string, T | Promise<T>>()

  const follow = (name: string, promise: Promise<T>): void => {
    const isRemembered = (): boolean => known.get(name) === promise
    promise.then(
      (value) => isRemembered() && known.set(name, value),
      () => isRemembered() && known.delete(name),
    )
  }

  return {
    get(name, make) {
      const found = known.get(name)
      const value = found ?? make()
      known.delete(name)
      known.set(name, value)
      if (found !== undefined) return found
      if (value instanceof Promise) follow(name, value)
      const oldest = known.keys().next()
      if (known.size > most && !oldest.done) known.delete(oldest.value)
      return value
    },
    forget(name, value) {
      if (value === undefined || known.get(name) === value) known.delete(name)
    },
  }
}
