import type { AtSign } from './at-sign.ts'
import { replyTime } from './clock.ts'
import type { Metadata } from './metadata.ts'
import { metadataTexts } from './metadata-view.ts'

/** Which of those that wait for one recipient goes first. */
export type Priority = 'low' | 'medium' | 'high'

export type NotificationStatus = 'queued' | 'delivered' | 'errored' | 'expired'

/** A notification as stored, on its way out or received. Times are milliseconds since the epoch. */
export interface Notification {
  readonly id: string
  readonly from: AtSign
  readonly to: AtSign
  /** Full key with the letter case of the sender: `@bob:temperature.kitchen.sensors@device`, or `@bob:<text>`. */
  readonly key: string
  readonly value: string | null
  readonly operation: 'update' | 'delete'
  readonly messageType: 'key' | 'text'
  /** `sent` leaves this server, `received` arrived or was sent to oneself. */
  readonly type: 'sent' | 'received' | 'self'
  readonly priority: Priority
  readonly strategy: 'all' | 'latest'
  readonly latestN: number
  readonly notifier: string
  /** Creation at the sender, receipt at the receiver. */
  readonly at: number
  readonly expiresAt: number
  readonly status: NotificationStatus
  /** Undefined for an auto-notified delete, which says nothing about encryption (page 07, 16.1). */
  readonly isEncrypted: boolean | undefined
  readonly metadata: Metadata
  /** Set when the client chose the expiry by `eAtn`, which then travels as it is. */
  readonly explicitExpiry?: true
  /** Set when it lives in memory only, here and at the recipient (draft of October 2026: `eph`). */
  readonly ephemeral?: true
}

const textOrNull = (value: string | undefined): string | null => value ?? null
const numberOrNull = (value: number | undefined): number | null => value ?? null

/**
 * The one JSON form of a notification, in monitor lines and in `notify:list` (page 07, 17.3).
 * Member order and types are fixed by released readers: `isEncrypted` a boolean, `epochMillis` a number.
 */
export function notificationView(notification: Notification): Record<string, unknown> {
  const { metadata } = notification
  return {
    id: notification.id,
    from: notification.from,
    to: notification.to,
    key: notification.key,
    value: notification.value,
    operation: notification.operation,
    epochMillis: notification.at,
    messageType: `MessageType.${notification.messageType}`,
    isEncrypted: notification.isEncrypted ?? false,
    metadata: {
      ttr: numberOrNull(metadata.ttr),
      ttl: numberOrNull(metadata.ttl),
      ttb: numberOrNull(metadata.ttb),
      sharedKeyEnc: textOrNull(metadata.sharedKeyEnc),
      pubKeyCS: textOrNull(metadata.pubKeyCS),
      dataSignature: textOrNull(metadata.dataSignature),
      encKeyName: textOrNull(metadata.encKeyName),
      encAlgo: textOrNull(metadata.encAlgo),
      ivNonce: textOrNull(metadata.ivNonce),
      skeEncKeyName: textOrNull(metadata.skeEncKeyName),
      skeEncAlgo: textOrNull(metadata.skeEncAlgo),
      availableAt: metadata.availableAt === undefined ? 'null' : replyTime(metadata.availableAt),
      expiresAt: replyTime(metadata.expiresAt ?? notification.expiresAt),
      pubKeyHash:
        metadata.pubKeyHash === undefined
          ? null
          : JSON.stringify({ hash: metadata.pubKeyHash, hashingAlgo: metadata.hashingAlgo }),
      appMetadata:
        metadata.appMetadata === undefined
          ? null
          : JSON.parse(Buffer.from(metadata.appMetadata, 'base64').toString('utf8')),
    },
  }
}

/** Dart's text of a map, which no client reads. */
function mapText({ metadata, isEncrypted }: Notification): string {
  const { status: _constant, ...texts } = metadataTexts(
    isEncrypted === undefined ? metadata : { ...metadata, isEncrypted },
  )
  return `{${Object.entries(texts)
    .map(([name, text]) => `${name}: ${text}`)
    .join(', ')}}`
}

/** The answer to `notify:fetch`: every value is text, a missing one the text `null` (page 04, E23). */
export function notificationTexts(notification: Notification): Record<string, string> {
  return {
    id: notification.id,
    fromAtSign: notification.from,
    notificationDateTime: replyTime(notification.at),
    toAtSign: notification.to,
    notification: notification.key,
    type: `NotificationType.${notification.type}`,
    opType: `OperationType.${notification.operation}`,
    messageType: `MessageType.${notification.messageType}`,
    priority: `NotificationPriority.${notification.priority}`,
    notificationStatus: `NotificationStatus.${notification.status}`,
    retryCount: '1',
    strategy: notification.strategy,
    depth: String(notification.latestN),
    notifier: notification.notifier,
    expiresAt: replyTime(notification.expiresAt),
    atValue: String(notification.value),
    atMetadata: mapText(notification),
    ttl: String(notification.expiresAt - notification.at),
  }
}
