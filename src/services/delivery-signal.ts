/** Tells one loop that there may be something to do. */
export interface Signal {
  give(): void
  /** Resolves once it is given, behind everything else that is told in the same turn: that is looked at together. */
  given(): Promise<void>
}

export function createSignal(): Signal {
  const nobody = (): void => {}
  let wakeUp = nobody
  return {
    give: () => wakeUp(),
    given: () =>
      new Promise((resolve) => {
        wakeUp = () => {
          wakeUp = nobody
          process.nextTick(resolve)
        }
      }),
  }
}
