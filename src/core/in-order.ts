/** Answers that are concluded in the order of their questions, whichever is ready first. */
export interface InOrder<T, Q> {
  /** How many have not been concluded. */
  waiting(): number
  /**
   * Concludes at once what is there already, unless an earlier one is still awaited. The promise must not reject.
   * @param to whatever the answer belongs to
   */
  add(answer: T | Promise<T>, to: Q): void
  /** Forgets what is awaited. */
  clear(): void
}

/** @param onTurn called each time after awaited answers were concluded */
export function createInOrder<T, Q>(conclude: (answer: T, to: Q) => void, onTurn: () => void): InOrder<T, Q> {
  let slots: { answer: T | undefined; readonly to: Q }[] = []

  const advance = (): void => {
    let done = 0
    for (; done < slots.length; done++) {
      const slot = slots[done]
      if (slot?.answer === undefined) break
      conclude(slot.answer, slot.to)
    }
    if (done === 0) return
    slots = done >= slots.length ? [] : slots.slice(done)
    onTurn()
  }

  return {
    waiting: () => slots.length,
    add(answer, to) {
      if (!(answer instanceof Promise)) {
        if (slots.length === 0) conclude(answer, to)
        else slots.push({ answer, to })
        return
      }
      const slot: { answer: T | undefined; readonly to: Q } = { answer: undefined, to }
      slots.push(slot)
      void answer.then((ready) => {
        slot.answer = ready
        if (slots[0] === slot) advance()
      })
    },
    clear() {
      slots = []
    },
  }
}
