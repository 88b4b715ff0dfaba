import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { WriteLine } from '../services/feed.ts'
import type { Output } from './output.ts'
import { whenRead } from './when-read.ts'

/** The notifications of one monitor on their way out. A multiplexed one hears none between a command and its reply. */
export interface HeldLines {
  /** Sends a line, or holds it. */
  readonly send: WriteLine
  /** Lines wait from now on. */
  hold(): void
  /** What waited goes out, in order, and nothing waits any more. */
  release(): void
  /** What waited is dropped, and nothing waits any more. */
  forget(): void
}

/** What the connection of the monitor brings. */
export interface HeldLinesOptions {
  readonly output: Output
  readonly clock: Clock
  /** Whether the connection has ended. */
  readonly isOver: () => boolean
  /** Called when the client leaves more unread than a monitor may. */
  readonly standsStill: () => void
}

export function createHeldLines({ output, clock, isOver, standsStill }: HeldLinesOptions): HeldLines {
  /** Undefined while lines go out at once. */
  let held: string[] | undefined
  let chars = 0
  /** Run once nothing waits any more. */
  let onReleased: (() => void)[] = []

  /** @returns undefined when the client reads fast enough */
  const whenTaken = (): Promise<void> | undefined =>
    !isOver() && output.waiting() > limits.unsentBytes ? whenRead(output, clock, standsStill) : undefined

  const whenReleased = (): Promise<void> =>
    new Promise((resolve) => {
      onReleased.push(resolve)
    })

  const forget = (): void => {
    if (held === undefined) return
    held = undefined
    chars = 0
    const tasks = onReleased
    onReleased = []
    for (const task of tasks) task()
  }

  return {
    send(line) {
      // Judged before the line is added: one that is longer than the bound by itself still goes to a client that reads.
      if (output.waiting() + chars > limits.monitorBacklogBytes) {
        standsStill()
        return undefined
      }
      if (held === undefined) {
        output.push(line)
        output.flush()
        return whenTaken()
      }
      held.push(line)
      chars += line.length
      return chars > limits.unsentBytes ? whenReleased().then(whenTaken) : undefined
    },
    hold() {
      held ??= []
    },
    release() {
      for (const line of held ?? []) output.push(line)
      forget()
    },
    forget,
  }
}
