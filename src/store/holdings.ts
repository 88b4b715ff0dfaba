import type { AtSign } from '../core/at-sign.ts'
import type { Metadata } from '../core/metadata.ts'
import type { Notification } from '../core/notification.ts'
import type { Holding, HoldingKind } from '../core/storage.ts'
import type { Draft } from './draft.ts'
import { holdingKey, notificationLogKey, tables } from './layout.ts'

// How much is held of each other atSign, kept within the changes themselves, so that it is right after a power cut too.

const nothing: Holding = { count: 0, bytes: 0 }
/** What a row costs besides its texts. */
const overhead = 200

/** What JSON does not leave as it is. */
const escaped = /["\\\p{Cc}\p{Cs}]/u

/** Characters of metadata as JSON, which is not made for the sake of its length. */
function jsonChars(metadata: Metadata): number {
  let chars = 1
  for (const name in metadata) {
    const member = metadata[name as keyof Metadata]
    if (member === undefined) continue
    const isPlain = typeof member !== 'string' || !escaped.test(member)
    const quotes = typeof member === 'string' ? 2 : 0
    chars += name.length + '"":,'.length + (isPlain ? String(member).length + quotes : JSON.stringify(member).length)
  }
  return Math.max(chars, 2)
}

const sizeOf = (key: string, value: string | null, metadata: Metadata): number =>
  overhead + key.length + (value?.length ?? 0) + jsonChars(metadata)

/** Room that a notification takes. */
export const bytesOfNotification = ({ key, value, metadata }: Notification): number => sizeOf(key, value, metadata)

/** Room that a record takes. */
export const bytesOfRecord = (key: string, record: { value: string | null; metadata: Metadata }): number =>
  sizeOf(key, record.value, record.metadata)

/** The atSign whose shared record a key is a copy of; undefined for every other key. */
export function originOfCopy(key: string): AtSign | undefined {
  return key.startsWith('cached:@') ? (key.slice(key.lastIndexOf('@')) as AtSign) : undefined
}

/** What is held of another atSign, staged changes included. */
export const holdingOf = (draft: Draft, kind: HoldingKind, of: AtSign): Holding =>
  draft.tryGet(tables.holdings, holdingKey(kind, of)) ?? nothing

function change(draft: Draft, row: string, count: number, bytes: number): void {
  const before = draft.tryGet(tables.holdings, row) ?? nothing
  const now = { count: before.count + count, bytes: Math.max(before.bytes + bytes, 0) }
  if (now.count > 0) draft.put(tables.holdings, row, now)
  else draft.remove(tables.holdings, row)
}

/** Adds to what is held of another atSign, or takes away. */
export function changeHolding(draft: Draft, kind: HoldingKind, of: AtSign, count: number, bytes: number): void {
  change(draft, holdingKey(kind, of), count, bytes)
}

/** What all notifications take together. */
export const notificationLog = (read: Pick<Draft, 'tryGet'>): Holding =>
  read.tryGet(tables.holdings, notificationLogKey) ?? nothing

/** Adds to it, or takes away. A store of before it was counted forgets its mistake with the notifications of that time. */
export const changeNotificationLog = (draft: Draft, count: number, bytes: number): void =>
  change(draft, notificationLogKey, count, bytes)
