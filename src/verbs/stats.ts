import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Part, seq } from '../wire/grammar.ts'
import { dataSpaced } from '../wire/reply.ts'
import { defineVerb } from './verb.ts'

/** Every id that plain `stats` lists (page 07, section 11). */
const known = Array.from({ length: 17 }, (_, index) => index + 1)
/** Metrics that a pattern narrows down. */
const filtered = new Set([3, 15])

const ids: Part<{ ids?: number[]; pattern?: string }> = {
  read(cursor, out) {
    const match = /^:([1-9]\d{0,3}(?:,[1-9]\d{0,3})*)(?::(.+))?$/s.exec(cursor.text.slice(cursor.at))
    if (match?.[1] === undefined) return
    const list = [...new Set(match[1].split(',').map(Number))]
    if (match[2] !== undefined && !(list.length === 1 && filtered.has(list[0] ?? 0))) {
      throw invalidSyntax('only stats:3 and stats:15 take a regex')
    }
    out['ids'] = list
    if (match[2] !== undefined) out['pattern'] = match[2]
    cursor.at = cursor.text.length
  },
  write: (p) => (p.ids === undefined ? '' : `:${p.ids.join(',')}${p.pattern === undefined ? '' : `:${p.pattern}`}`),
}

const tooLong = (): AtError =>
  new AtError(
    'AT0022',
    'one reply may not hold that many keys; leave 15 out, or narrow it by a regex, as in stats:15:.wavi',
  )

export const stats = defineVerb({
  name: 'stats',
  summary: 'Numbers about this atServer: connections, last commit id, storage, notifications.',
  grammar: seq(ids),
  admits: ['owner'],
  async run(p, ports, { session, signal }) {
    const pattern = p.pattern === undefined ? undefined : ports.pattern(p.pattern)
    const elements: string[] = []
    for (const id of p.ids ?? known) {
      const metric = await ports.metric(id, { who: session.identity, pattern, signal })
      if (metric === undefined) throw invalidSyntax(`No metric with ID ${id}`)
      elements.push(JSON.stringify({ id: String(id), name: metric.name, value: metric.value }))
    }
    const text = `[${elements.join(', ')}]`
    // 15 names every key.
    if (Buffer.byteLength(text) > limits.replyBytes) throw tooLong()
    return dataSpaced(text)
  },
  examples: ['stats', 'stats:3', 'stats:3:.wavi', 'stats:1,2,16'],
})
