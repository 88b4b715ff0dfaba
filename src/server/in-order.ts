/** Answers that are concluded in the order of their commands, whichever is ready first. */
export interface InOrder<T> {
  /** How many have not been concluded. */
  waiting(): number
  /** Concludes at once what is there already, unless an earlier one is still awaited. The promise must not reject. */
  add(answer: T | Promise<T>): void
  /** Forgets what is awaited. */
  clear(): void
}

/** @param onTurn called each time after awaited answers were concluded */
export function createInOrder<T>(conclude: (answer: T) => void, onTurn: () => void): InOrder<T> {
  let slots: { answer: T | undefined }[] = []

  const advance = (): void => {
    let done = 0
    for (; done < slots.length; done++) {
      const answer = slots[done]?.answer
      if (answer === undefined) break
      conclude(answer)
    }
    if (done === 0) return
    slots = done >= slots.length ? [] : slots.slice(done)
    onTurn()
  }

  return {
    waiting: () => slots.length,
    add(answer) {
      if (!(answer instanceof Promise)) {
        if (slots.length === 0) conclude(answer)
        else slots.push({ answer })
        return
      }
      const slot: { answer: T | undefined } = { answer: undefined }
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
