import { makeAtKey } from '../core/at-key.ts'
import { AtError } from '../core/errors.ts'
import { isLive } from '../core/metadata.ts'
import { atSign, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { defineVerb, everyone, type Ports } from './verb.ts'
import { recordObject } from './view.ts'

async function publicRecord(ports: Ports, entity: string): Promise<unknown> {
  const key = makeAtKey({ scope: 'public', entity, owner: ports.self })
  const record = await ports.records.get(key.text)
  if (record === undefined || !isLive(record.metadata, ports.clock.now())) return null
  return recordObject(key.text, record.value, record.metadata)
}

export const to = defineVerb({
  name: 'to',
  summary: 'Ask for the public keys of the atSign that you expect to find here.',
  grammar: seq(atSign('atSign')),
  admits: everyone,
  async run(params, ports) {
    if (params.atSign !== ports.self) throw new AtError('AT0007', `${params.atSign} is not hosted on this atServer`)
    const publickey = await publicRecord(ports, 'publickey')
    const signing_publickey = await publicRecord(ports, 'signing_publickey')
    return data(JSON.stringify({ publickey, signing_publickey }))
  },
  examples: ['to:@alice'],
})
