import { keyNotFound } from '../core/errors.ts'
import { isLive } from '../core/metadata.ts'
import { key, opt, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { defineVerb } from './verb.ts'
import { viewText } from './view.ts'

export const llookup = defineVerb({
  name: 'llookup',
  summary: 'Read a record held on this atServer.',
  grammar: seq(opt('view', 'meta', 'all'), key()),
  admits: ['owner'],
  access: (p) => [{ op: 'read', key: p.key, verb: 'llookup' }],
  async run(p, { records, clock }) {
    const record = await records.get(p.key.text)
    if (record === undefined || !isLive(record.metadata, clock.now())) throw keyNotFound(p.key.text)
    return data(viewText(p.view, p.key.text, record.value, record.metadata))
  },
  examples: [
    'llookup:phone.wavi@alice',
    'llookup:all:phone.wavi@alice',
    'llookup:meta:@bob:phone.wavi@alice',
    'llookup:cached:@alice:pin.wavi@bob',
  ],
})
