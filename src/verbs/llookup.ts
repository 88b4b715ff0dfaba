import { keyNotFound } from '../core/errors.ts'
import { isLive, isTimed } from '../core/metadata.ts'
import type { StoredRecord } from '../core/record.ts'
import { key, opt, seq } from '../wire/grammar.ts'
import { data, type Reply } from '../wire/reply.ts'
import { defineVerb } from './verb.ts'
import { viewText } from './view.ts'

export const llookup = defineVerb({
  name: 'llookup',
  summary: 'Read a record held on this atServer.',
  grammar: seq(opt('view', 'meta', 'all'), key()),
  admits: ['owner'],
  repeats: true,
  access: (p) => [{ op: 'read', key: p.key, verb: 'llookup' }],
  source(p, { records }) {
    const record = records.get(p.key.text)
    return record instanceof Promise || record === undefined || isTimed(record.metadata) ? undefined : record
  },
  run(p, { records, clock }) {
    const show = (record: StoredRecord | undefined): Reply => {
      if (record === undefined || !isLive(record.metadata, clock.now())) throw keyNotFound(p.key.text)
      return data(viewText(p.view, p.key.text, record.value, record.metadata))
    }
    const record = records.get(p.key.text)
    return record instanceof Promise ? record.then(show) : show(record)
  },
  examples: [
    'llookup:phone.wavi@alice',
    'llookup:all:phone.wavi@alice',
    'llookup:meta:@bob:phone.wavi@alice',
    'llookup:cached:@alice:pin.wavi@bob',
  ],
})
