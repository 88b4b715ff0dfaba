import { permitsNotification } from '../core/access.ts'
import { seq, tail } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { notificationId } from './notifying.ts'
import { defineVerb } from './verb.ts'

export const notifyStatus = defineVerb({
  name: 'notify:status',
  summary: 'Ask what became of a notification.',
  grammar: seq(tail('id', notificationId)),
  admits: ['owner'],
  async run({ id }, ports, { session }) {
    const found = await ports.notifications.get(id)
    if (found === undefined) return data(null)
    const refusal = permitsNotification(session.identity, 'read', found, 'fetch notify')
    if (refusal !== undefined) throw refusal
    const expired = found.status === 'queued' && found.expiresAt < ports.clock.now()
    return data(expired ? 'expired' : found.status)
  },
  examples: ['notify:status:fccf2ddc-9316-4302-a11b-3dd214857431'],
})
