import { anyOrder, metadata, oneOf, opt, param, seq } from '../wire/grammar.ts'
import { dataSpaced } from '../wire/reply.ts'
import { accessToNotify, manyRecipients, sendMessage } from './notifying.ts'
import { defineVerb } from './verb.ts'

export const notifyAll = defineVerb({
  name: 'notify:all',
  summary: 'Send a notification to several atSigns (deprecated: notify:multi carries all metadata).',
  grammar: seq(
    anyOrder(opt('operation', 'update', 'delete'), param('messageType', oneOf('key', 'text')), metadata),
    manyRecipients,
  ),
  admits: ['owner'],
  access: (p, session, self) => accessToNotify(p, p.body, undefined, session, self),
  async run(p, ports) {
    // It has no word for encryption and goes out as plain (page 04, section 8).
    const message = { ...p, metadata: { ...p.metadata, isEncrypted: p.metadata.isEncrypted ?? false } }
    const ids = await sendMessage(message, p.body, p.to, ports)
    return dataSpaced(JSON.stringify(Object.fromEntries(p.to.map((recipient, index) => [recipient, ids[index]]))))
  },
  examples: [
    'notify:all:@bob,@carol:whatsapp@alice:+91-9',
    'notify:all:update:messageType:key:ttl:60000:ttr:-1:ccd:true:@bob:phone.wavi:v',
    'notify:all:messageType:text:@bob:Hello there',
  ],
})
