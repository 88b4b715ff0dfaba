import { type Clock, elapsed } from './clock.ts'
import { AtError } from './errors.ts'
import { limits } from './limits.ts'

/**
 * Rows that are judged one by one, in turns: after every few milliseconds of work everybody else has one, and the rows end
 * when nobody waits for them any more.
 * @param signal aborted when the connection that asked has gone
 * @throws AtError AT0023 in place of the next row, once the signal is aborted
 */
export function inTurns<T>(rows: AsyncIterable<T>, clock: Clock, signal?: AbortSignal): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const source = rows[Symbol.asyncIterator]()
      const end = async (): Promise<IteratorResult<T>> => (await source.return?.()) ?? { done: true, value: undefined }
      let until = elapsed(clock) + limits.turnMs

      const leave = async (): Promise<never> => {
        await end()
        throw new AtError('AT0023', 'the connection has gone')
      }
      const wait = async (): Promise<IteratorResult<T>> => {
        await new Promise(setImmediate)
        until = elapsed(clock) + limits.turnMs
        return signal?.aborted ? leave() : source.next()
      }
      return {
        next() {
          if (signal?.aborted) return leave()
          return elapsed(clock) < until ? source.next() : wait()
        },
        return: end,
      }
    },
  }
}
