import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import type { Opener, ShownMetadata } from './open.ts'
import type { ReceivedNotification } from './types.ts'

/** A monitor line as it came, members checked. */
export interface RawNotification {
  readonly id: string
  readonly from: AtSign
  readonly to: AtSign
  readonly key: string
  readonly value: string | null
  readonly operation: 'update' | 'delete'
  readonly at: number
  readonly isText: boolean
  readonly isEncrypted: boolean
  readonly metadata: ShownMetadata
}

const asObject = (value: unknown): ShownMetadata =>
  typeof value === 'object' && value !== null ? (value as ShownMetadata) : {}

const textOf = (shown: unknown): string | null =>
  typeof shown === 'string' ? shown : shown === null || shown === undefined ? null : JSON.stringify(shown)

/**
 * Reads `notification: {…}` (page 04, section 9).
 * @returns undefined for a line that is no notification
 */
export function readNotification(line: string): RawNotification | undefined {
  try {
    const shown = asObject(JSON.parse(line.slice(line.indexOf(':') + 1)))
    const { id, key, epochMillis, operation } = shown as { [name: string]: unknown }
    const at = Number(epochMillis)
    if (typeof id !== 'string' || typeof key !== 'string' || !Number.isSafeInteger(at)) return undefined
    return {
      id,
      from: parseAtSign(String(shown['from'])),
      to: parseAtSign(String(shown['to'])),
      key,
      value: textOf(shown['value']),
      operation: operation === 'delete' ? 'delete' : 'update',
      at,
      isText: shown['messageType'] === 'MessageType.text',
      isEncrypted: shown['isEncrypted'] === true || shown['isEncrypted'] === 'true',
      metadata: asObject(shown['metadata']),
    }
  } catch {
    return undefined
  }
}

/** Statistics go to every monitor; they tell that something changed, not what (page 04, section 9). */
export const isStatistics = ({ id, key }: RawNotification): boolean =>
  id === '-1' || key.startsWith('statsNotification.')

const keyRecord = /(?:^|:)shared_key(?:\.[^@]*)?@/

/** Text messages stand in the place of the key, behind the recipient (page 05, 1.10). */
function textOfKey({ key, from, to, isEncrypted }: RawNotification): string {
  const text = key.startsWith(`${to}:`) ? key.slice(to.length + 1) : key
  return isEncrypted && text.endsWith(from) ? text.slice(0, -from.length) : text
}

/** Decrypts a notification; when that fails the result says why instead. */
export async function openNotification(raw: RawNotification, opener: Opener): Promise<ReceivedNotification> {
  const { id, from, to, key, operation, at } = raw
  const head = { id, from, to, key, operation, at }
  const value = raw.isText ? textOfKey(raw) : raw.value
  if (value === null || !raw.isEncrypted || keyRecord.test(key)) return { ...head, value }
  try {
    return { ...head, value: await opener.received(from, value, raw.metadata) }
  } catch (error) {
    return { ...head, value: null, problem: error instanceof Error ? error.message : String(error) }
  }
}
