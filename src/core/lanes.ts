/** Runs tasks of one name after each other and tasks of different names side by side. */
export interface Lanes {
  /** Runs `task` when all earlier ones of its name have ended, however they ended. */
  run<T>(name: string, task: () => Promise<T>): Promise<T>
  /** Names that have a task under way. */
  size(): number
}

export function createLanes(): Lanes {
  const tails = new Map<string, Promise<unknown>>()
  return {
    run(name, task) {
      const before = tails.get(name)
      const result = before === undefined ? task() : before.then(task, task)
      tails.set(name, result)
      const leave = () => {
        if (tails.get(name) === result) tails.delete(name)
      }
      result.then(leave, leave)
      return result
    },
    size: () => tails.size,
  }
}
