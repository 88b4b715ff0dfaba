import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { integer, type Part, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { defineVerb, everyone } from './verb.ts'

const duration: Part<{ ms: number }> = {
  read(cursor, out) {
    const digits = cursor.text[cursor.at] === ':' ? cursor.text.slice(cursor.at + 1) : ''
    out['ms'] = integer(0).parse(digits, 'noop:<durationInMillis>')
    cursor.at = cursor.text.length
  },
  write: (params) => `:${params.ms}`,
}

export const noop = defineVerb({
  name: 'noop',
  summary: 'Do nothing for some milliseconds: the heartbeat of every client.',
  grammar: seq(duration),
  admits: everyone,
  async run({ ms }, { clock }, { signal }) {
    if (ms > limits.noopMs) {
      throw new AtError('AT0022', `noop:<durationInMillis> where the duration maximum is ${limits.noopMs} milliseconds`)
    }
    if (ms > 0) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          cancel()
          signal.removeEventListener('abort', done)
          resolve()
        }
        const cancel = clock.after(ms, done)
        signal.addEventListener('abort', done)
      })
    }
    return data('ok')
  },
  examples: ['noop:0', 'noop:5000'],
})
