import { AtError } from '../core/errors.ts'
import type { Notification } from '../core/notification.ts'
import { replyData } from '../wire/link.ts'
import { deliveryLine } from './delivery-line.ts'
import type { PeerFeatures, PeerSession } from './peer-session.ts'

/** Answers that will not change however often the same line is sent. */
const final: ReadonlySet<string> = new Set(['AT0003', 'AT0005', 'AT0009', 'AT0016', 'AT0022'])

/** What became of one attempt; `later` when the peer cannot take it now. */
export type Outcome = 'delivered' | 'errored' | 'later'

/** What the answer to a delivery says; an error as it came. */
function readAnswer(reply: string): Outcome | AtError {
  try {
    return replyData(reply) === 'success' ? 'delivered' : 'later'
  } catch (error) {
    if (error instanceof AtError) return error
    throw error
  }
}

/**
 * Sends a notification, and once more in the words that every released server reads when the peer refuses ours.
 * @throws AtError when the connection fails: then nobody knows whether the notification has arrived
 */
export async function attempt(
  session: PeerSession,
  notification: Notification,
  now: number,
  features: PeerFeatures,
): Promise<Outcome> {
  const line = deliveryLine(notification, now, { eAtn: features.eAtn, eph: features.eph, basic: false })
  let answer = readAnswer(await session.request(line))
  if (answer instanceof AtError && answer.code === 'AT0003') {
    const basicLine = deliveryLine(notification, now, { eAtn: false, basic: true })
    if (basicLine !== line) answer = readAnswer(await session.request(basicLine))
  }
  if (!(answer instanceof AtError)) return answer
  return final.has(answer.code) ? 'errored' : 'later'
}
