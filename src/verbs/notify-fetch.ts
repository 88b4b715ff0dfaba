import { permitsNotification } from '../core/access.ts'
import { notificationTexts } from '../core/notification.ts'
import { jsonLine } from '../core/one-line.ts'
import { seq, tail } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { notificationId } from './notifying.ts'
import { defineVerb } from './verb.ts'

export const notifyFetch = defineVerb({
  name: 'notify:fetch',
  summary: 'Read a notification with everything that is known about it.',
  grammar: seq(tail('id', notificationId)),
  admits: ['owner'],
  async run({ id }, ports, { session }) {
    const found = await ports.notifications.get(id)
    // One that is gone and one that has expired cannot be told apart later (page 04, section 8).
    if (found === undefined || found.expiresAt < ports.clock.now()) {
      return data(jsonLine({ id, notificationStatus: 'NotificationStatus.expired' }))
    }
    const refusal = permitsNotification(session.identity, 'read', found, 'fetch notify')
    if (refusal !== undefined) throw refusal
    return data(jsonLine(notificationTexts(found)))
  },
  examples: ['notify:fetch:fccf2ddc-9316-4302-a11b-3dd214857431'],
})
