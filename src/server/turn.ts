import type { Clock } from '../core/clock.ts'

/** The turn of the event loop that is under way, as all connections share it. */
export interface Turn {
  /** Runs a task at the end of the turn. */
  atEnd(task: () => void): void
  /** The time when the turn began to ask for it. */
  now(): number
}

/**
 * What all connections of a turn have to say leaves at its end, one write after another: clients that wait are then woken
 * together instead of once for each answer, which costs a busy atServer more than the answer. The clock is read once a turn.
 */
export function createTurn(clock: Clock): Turn {
  let tasks: (() => void)[] = []
  let time: number | undefined
  let ends = false
  const end = (): void => {
    const due = tasks
    tasks = []
    time = undefined
    ends = false
    for (const task of due) task()
  }
  const endLater = (): void => {
    if (ends) return
    ends = true
    setImmediate(end)
  }
  return {
    atEnd(task) {
      endLater()
      tasks.push(task)
    },
    now() {
      endLater()
      time ??= clock.now()
      return time
    },
  }
}
