import { permitsNotification } from '../core/access.ts'
import { seq, tail } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { notificationId } from './notifying.ts'
import { defineVerb } from './verb.ts'

export const notifyRemove = defineVerb({
  name: 'notify:remove',
  summary: 'Forget a notification; one that still waits for its recipient is not sent any more.',
  grammar: seq(tail('id', notificationId)),
  admits: ['owner'],
  async run({ id }, ports, { session }) {
    const found = await ports.notifications.get(id)
    if (found === undefined) return data('success')
    const refusal = permitsNotification(session.identity, 'write', found, 'remove notify')
    if (refusal !== undefined) throw refusal
    if (found.ephemeral) ports.ephemeral.remove(found)
    else await ports.write((tx) => tx.removeNotification(found))
    return data('success')
  },
  examples: ['notify:remove:fccf2ddc-9316-4302-a11b-3dd214857431'],
})
