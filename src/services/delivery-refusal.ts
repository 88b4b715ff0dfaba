import { permitsExchange } from '../core/access.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Notification } from '../core/notification.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Records } from '../core/storage.ts'
import { whenKnown } from '../core/when-known.ts'
import { blockListKey, parseBlockList } from '../verbs/block-list.ts'

/** Whether the block list, as it is now, keeps a notification from its recipient. */
export type Refusal = (notification: Notification) => boolean

/**
 * Reads the block list of an atSign, which is looked through when it has changed.
 * @returns a promise only while the store recovers
 */
export function refusalOf(
  self: AtSign,
  recipient: AtSign,
  records: Pick<Records, 'get'>,
): () => Refusal | Promise<Refusal> {
  const key = blockListKey(self).text
  const by = (list: StoredRecord | undefined): Refusal => {
    const blocked = parseBlockList(list?.value).includes(recipient)
    const rest = { direction: 'out', self, peer: recipient, recipient, owner: self, blocked } as const
    const refusals = {
      key: permitsExchange({ ...rest, messageType: 'key' }),
      text: permitsExchange({ ...rest, messageType: 'text' }),
    }
    return ({ messageType }) => refusals[messageType] !== undefined
  }
  let known: { readonly list: StoredRecord | undefined; readonly refusal: Refusal } | undefined
  const refusalFor = (list: StoredRecord | undefined): Refusal => {
    // A record is replaced as a whole, never edited.
    if (known === undefined || known.list !== list) known = { list, refusal: by(list) }
    return known.refusal
  }
  return () => whenKnown(records.get(key), refusalFor)
}
