import { invalidSyntax } from '../core/errors.ts'
import { anyOrder, flag, integer, metadata, param, seq, timeParam } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { accessToNotify, checkMessage, expiryTime, manyRecipients, sendMessage, undelivered } from './notifying.ts'
import { defineVerb } from './verb.ts'

/** No recipient keeps a record, and one value fits them all, so these have no place here (draft of October 2026). */
const refused = [
  ...(['ttr', 'ccd', 'sharedKeyEnc', 'pubKeyCS', 'pubKeyHash', 'hashingAlgo', 'skeEncKeyName', 'skeEncAlgo'] as const),
  ...undelivered,
]

const grammar = seq(
  anyOrder(param('ttln', integer(0)), timeParam('eAtn', expiryTime), flag('eph'), metadata),
  manyRecipients,
)

/** A malformed tag would be taken for a part of the key if the owner could be left out. */
function checkParams(p: ReturnType<typeof grammar.parse>): void {
  const unfit = refused.find((name) => p.metadata[name] !== undefined)
  if (unfit !== undefined) throw invalidSyntax(`notify:multi does not take ${unfit}`)
  if (p.body.owner === undefined) throw invalidSyntax('notify:multi needs the owner behind the key')
  checkMessage(p)
}

export const notifyMulti = defineVerb({
  name: 'notify:multi',
  summary: 'Send one value to many atSigns; the answer names the id for each of them.',
  grammar,
  admits: ['owner'],
  access: (p, session, self) => accessToNotify(p, p.body, undefined, session, self),
  async run(p, ports) {
    checkParams(p)
    const ids = await sendMessage(p, p.body, p.to, ports)
    return data(JSON.stringify(Object.fromEntries(p.to.map((recipient, index) => [recipient, ids[index]]))))
  },
  examples: [
    'notify:multi:isEncrypted:true:@bob,@carol:msg.chat.myapp@alice:v',
    'notify:multi:ttln:60000:eph:@bob:temp.sensors@alice:21.5',
  ],
})
