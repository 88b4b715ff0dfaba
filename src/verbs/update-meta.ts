import { flag, key, metadata, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { leavesBlockList } from './block-list.ts'
import { checkWritable, writeRecord } from './changes.ts'
import { defineVerb } from './verb.ts'

export const updateMeta = defineVerb({
  name: 'update:meta',
  summary: 'Change the metadata of a record and leave its value alone.',
  grammar: seq(flag('nc'), key(), metadata),
  admits: ['owner'],
  overlaps: leavesBlockList,
  access: (p) => [{ op: 'write', key: p.key, verb: 'update' }],
  async run(p, ports) {
    checkWritable(p.key, ports.self)
    const id = await writeRecord(ports, p.key, { metadata: p.metadata, value: undefined, nc: p.nc ?? false })
    return data(String(id))
  },
  examples: [
    'update:meta:@bob:phone.wavi@alice:ttl:60000',
    'update:meta:public:location@alice:isBinary:true',
    'update:meta:nc:nc1.wavi@alice:ttl:60000',
  ],
})
