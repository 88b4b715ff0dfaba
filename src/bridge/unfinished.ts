import { createHash } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { bounds } from './bounds.ts'

/** What was done for one message: its sensor sends it again until all of it is. */
export interface Message {
  /** Does a step unless an earlier attempt at the same message has done it. */
  once(step: string, task: () => Promise<unknown>): Promise<unknown>
  /** All is done: the same words in another message are new ones. */
  finish(): void
}

/** Messages of which some steps are done and others failed, by what they say; bounded in number and time. */
export interface Unfinished {
  begin(topic: string, payload: Uint8Array): Message
}

export function createUnfinished(clock: Clock): Unfinished {
  const known = new Map<string, { readonly at: number; readonly done: string[] }>()

  const doneFor = (name: string): string[] => {
    const entry = known.get(name)
    const age = entry === undefined ? 0 : clock.now() - entry.at
    return entry !== undefined && age >= 0 && age < bounds.unfinishedMs ? entry.done : []
  }

  return {
    begin(topic, payload) {
      const name = (): string => createHash('sha256').update(`${topic}\0`).update(payload).digest('base64')
      // Mostly nothing is unfinished, and nothing has to be named.
      const done = known.size === 0 ? [] : doneFor(name())
      const remember = (): void => {
        known.delete(name())
        known.set(name(), { at: clock.now(), done })
        const oldest = known.keys().next()
        if (known.size > bounds.unfinished && !oldest.done) known.delete(oldest.value)
      }
      return {
        once(step, task) {
          if (done.includes(step)) return Promise.resolve()
          return task().then(
            () => done.push(step),
            (error: unknown) => {
              remember()
              throw error
            },
          )
        },
        finish() {
          if (known.size > 0) known.delete(name())
        },
      }
    },
  }
}
