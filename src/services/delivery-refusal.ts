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
 * Reads the block list of an atSign.
 * @returns a promise only while the store recovers
 */
export function refusalOf(
  self: AtSign,
  recipient: AtSign,
  records: Pick<Records, 'get'>,
): () => Refusal | Promise<Refusal> {
  const key = blockListKey(self).text
  const by =
    (list: StoredRecord | undefined): Refusal =>
    ({ messageType }) => {
      const blocked = parseBlockList(list?.value).includes(recipient)
      const exchange = {
        direction: 'out',
        self,
        peer: recipient,
        recipient,
        owner: self,
        messageType,
        blocked,
      } as const
      return permitsExchange(exchange) !== undefined
    }
  return () => whenKnown(records.get(key), by)
}
