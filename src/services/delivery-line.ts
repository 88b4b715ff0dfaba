import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import type { MetadataChange } from '../core/metadata.ts'
import { metadataAsChange } from '../core/metadata-tags.ts'
import type { Notification } from '../core/notification.ts'
import { notify } from '../verbs/notify.ts'

/** Notifier of what this server announces by itself. */
export const systemNotifier = 'system'

/** Metadata that `notify` never delivers (page 07, section 15). */
const undelivered = ['isBinary', 'encoding', 'sharedKeyStatus', 'dataSignature'] as const

/** Metadata that servers of 2024 do not know and refuse as a whole (page 04, section 14). */
const younger = ['pubKeyHash', 'hashingAlgo', 'immutable', 'appMetadata'] as const

/** What the other side is known to read. */
export interface Reader {
  /** Takes `eAtn`; others get the remaining life in its place. */
  readonly eAtn: boolean
  /** Keeps `eph` in memory as well; others get an ordinary notification. */
  readonly eph?: boolean
  /** Takes nothing but what every released server takes: no asserted times, no younger metadata. */
  readonly basic: boolean
}

/** The full key of a notification, taken apart as the `notify` grammar wants it. */
function subjectOf(notification: Notification): {
  to: AtSign
  name: string
  owner: AtSign | undefined
  value: string | undefined
} {
  const { key, to, messageType, value } = notification
  const rest = key.slice(key.indexOf(':') + 1)
  const at = messageType === 'text' ? -1 : rest.lastIndexOf('@')
  const name = at === -1 ? rest : rest.slice(0, at)
  const owner = at === -1 ? undefined : parseAtSign(rest.slice(at))
  return { to, name, owner, value: value ?? undefined }
}

/** The metadata that a peer gets. */
function deliveredMetadata({ metadata, isEncrypted, notifier }: Notification, { basic }: Reader): MetadataChange {
  const change: { [name in keyof MetadataChange]?: unknown } = metadataAsChange(metadata, !basic)
  // A member that is deleted would make the object a slow one.
  const leaveOut = (name: keyof MetadataChange): void => {
    if (change[name] !== undefined) change[name] = undefined
  }
  if (isEncrypted !== undefined) change.isEncrypted = isEncrypted
  else leaveOut('isEncrypted')
  undelivered.forEach(leaveOut)
  if (basic) younger.forEach(leaveOut)
  if (change.ttr === undefined) leaveOut('ccd')
  if (notifier !== systemNotifier) {
    change.ttl ??= 0
    change.ttb ??= 0
  }
  return change as MetadataChange
}

/**
 * The line that a peer gets (page 07, 16.1): never priority, strategy or latestN, the remaining life instead of the
 * original one.
 */
export function deliveryLine(notification: Notification, now: number, reader: Reader): string {
  const change = deliveredMetadata(notification, reader)
  return `notify${notify.grammar.format({
    id: notification.id,
    operation: notification.operation,
    messageType: notification.messageType,
    notifier: notification.notifier,
    ...(notification.explicitExpiry === true && reader.eAtn
      ? { eAtn: notification.expiresAt }
      : { ttln: Math.max(1, notification.expiresAt - now) }),
    ...(notification.ephemeral === true && reader.eph === true && !reader.basic ? { eph: true } : {}),
    metadata: change,
    subject: subjectOf(notification),
  })}`
}
