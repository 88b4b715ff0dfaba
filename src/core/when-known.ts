/** Goes on with a value at once if it is there, and when it comes if it is promised: whoever waits for nothing takes no turns. */
export const whenKnown = <T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> =>
  value instanceof Promise ? value.then(next) : next(value)
