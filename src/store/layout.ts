import { hash } from 'node:crypto'
import type { AtSign } from '../core/at-sign.ts'
import type { Enrollment } from '../core/enrollment.ts'
import type { Metadata } from '../core/metadata.ts'
import type { Notification, NotificationStatus, Priority } from '../core/notification.ts'
import type { CommitEntry, CommitOperation, StoredRecord } from '../core/record.ts'
import type { Holding, HoldingKind } from '../core/storage.ts'

// What lies where in the database. Prefixes are spelled like the sublevels of abstract-level.

/** Version of everything on this page. A change of the layout adds a migration and raises it. */
export const formatVersion = 2

/** A part of the database: its rows and how they are written. */
export interface Table<Row> {
  /** In front of every key. */
  readonly prefix: string
  /** What a row is called in a message about damage. */
  readonly noun: string
  /** The JSON value that stands for a row. */
  pack(row: Row): unknown
  unpack(json: unknown, key: string): Row
}

/** Who the database belongs to. */
export interface Identity {
  readonly format: number
  readonly atSign: AtSign
}

/**
 * Where a notification stands. The body is written once; this small row changes with the status.
 * `outbox` is the key of its outbox entry while it waits, `latest` its notifier when that one's newest few count.
 * `bytes` says how much room it takes, and `sender` whose, of what came from another atSign.
 */
export interface NotificationState {
  readonly at: number
  readonly expiresAt: number
  readonly status: NotificationStatus
  readonly type: Notification['type']
  readonly bytes?: number | undefined
  readonly latest?: string | undefined
  readonly sender?: AtSign | undefined
  readonly outbox?: string | undefined
}

const width = 11
const largest = 36 ** width - 1

/** A whole number as text that sorts by value; below 0 counts as 0. */
export const sortable = (number: number): string =>
  Math.min(Math.max(Math.trunc(number), 0), largest)
    .toString(36)
    .padStart(width, '0')

/** The number behind `sortable`. */
export const fromSortable = (text: string): number => Number.parseInt(text.slice(0, width), 36)

/** Sorts after every key that starts with the same text. */
export const after = '\u{10ffff}'

const plain = <Row>(name: string, noun: string): Table<Row> => ({
  prefix: `!${name}!`,
  noun,
  pack: (row) => row,
  unpack: (json) => json as Row,
})

type PackedRecord = [commitId: number, metadata: Metadata, value: string | null]
type PackedCommit = [operation: CommitOperation, opTime: number, key: string]

/** Every table. */
export const tables = {
  /** By key. The row holds the id of its commit entry, which spares a second index. */
  records: {
    prefix: '!records!',
    noun: 'record',
    pack: (row) => [row.commitId, row.metadata, row.value] satisfies PackedRecord,
    unpack(json) {
      const [commitId, metadata, value] = json as PackedRecord
      return { value, metadata, commitId }
    },
  } satisfies Table<StoredRecord> as Table<StoredRecord>,
  /** By sortable id; one entry a key. */
  commits: {
    prefix: '!commits!',
    noun: 'commit entry',
    pack: (row) => [row.operation, row.opTime, row.key] satisfies PackedCommit,
    unpack(json, id) {
      const [operation, opTime, key] = json as PackedCommit
      return { commitId: fromSortable(id), key, operation, opTime }
    },
  } satisfies Table<CommitEntry> as Table<CommitEntry>,
  /** Id of the latest commit entry of a key that has no record, by key. */
  tombstones: plain<number>('tombstones', 'tombstone of'),
  /** Bodies by `notificationKey`. */
  notifications: plain<Notification>('notifications', 'notification'),
  /** By `notificationRef`. */
  notificationStates: plain<NotificationState>('notification-states', 'state of notification'),
  /** `notificationRef` by `outboxKey`. */
  outbox: plain<string>('outbox', 'outbox entry'),
  enrollments: plain<Enrollment>('enrollments', 'enrollment'),
  /** By `expiryKey`; the key says it all. */
  expiry: plain<0>('expiry', 'expiry entry'),
  secrets: plain<string>('secrets', 'secret'),
  /** Counters and times of visits, by name. A version that does not know them leaves them alone. */
  access: plain<number>('access', 'access counter'),
  /** Ids that no entry will ever have, by the sortable first one: the last one (see commits.ts). */
  gaps: plain<number>('gaps', 'gap in the commit ids'),
  /** Bytes of damaged values (base64), by the full key under which they lay. */
  quarantine: plain<{ readonly at: number; readonly bytes: string }>('quarantine', 'damaged value'),
  /** Places where long work goes on after a restart, by its name. */
  notes: plain<string>('notes', 'note'),
  identity: plain<Identity>('identity', 'identity'),
  /** Under `commitKey` the highest commit id ever issued, under `reservedKey` the highest one that may be told, `floorKey` and `vouchedKey`. */
  meta: plain<number>('meta', 'number'),
  /** By `holdingKey`, and under `notificationLogKey`. */
  holdings: plain<Holding>('holdings', 'size of what is held'),
  /** Never stored, follows changes all the same: `commitKey`, `gapKey`, `reservedKey`, `queueKey`, `withdrawnKey`, by atSign how many wait for it, and by `urgentKey`. */
  memory: plain<number>('memory', 'number'),
  /** Never stored either: by `latestKey` the `notificationRef` of those that wait, the oldest first. */
  latest: plain<readonly string[]>('latest', 'notifications of a notifier'),
} as const

/** Row of `tables.meta` and `tables.memory`: the highest commit id ever issued. */
export const commitKey = 'commit'

/** Row of `tables.meta` and `tables.memory`: the highest commit id that may be told before its change is on flash. */
export const reservedKey = 'commit-reserved'

/** Row of `tables.meta`: a time that has passed for sure, milliseconds since the epoch. */
export const floorKey = 'clock-floor'

/** Row of `tables.meta`: the latest time that the operator or a time service vouched for, milliseconds since the epoch. */
export const vouchedKey = 'clock-vouched'

/** Whether the full key of a record is not the one that every store makes for itself when it is new. */
export const isOwnersRecord = (full: string): boolean =>
  full.startsWith(tables.records.prefix) && !full.startsWith(`${tables.records.prefix}public:signing_publickey@`)

/** Row of `tables.memory`: the last id of the latest gap. */
export const gapKey = 'commit-gap'

/** Row of `tables.memory`: the latest place in any outbox. */
export const queueKey = 'queue'

/** Row of `tables.memory`: how often a wait has ended that whoever delivers did not end, since the store was opened. */
export const withdrawnKey = 'withdrawn'

/** Row of `tables.memory`: how many with a priority of their own wait for a recipient. */
export const urgentKey = (recipient: AtSign, priority: 'medium' | 'high'): string => `${priority} ${recipient}`

/** Row of `tables.latest`: what waits for a recipient by the strategy `latest` of a notifier. */
export const latestKey = (recipient: AtSign, notifier: string): string => `${recipient}/${notifier}`

/** Key of what is held of another atSign. */
export const holdingKey = (kind: HoldingKind, of: AtSign): string => `${kind}/${of}`

/** Row of `tables.holdings`: all notifications together. */
export const notificationLogKey = 'log'

/** In front of every `notificationRef` of one id and direction. Ids hold no `/`. */
export const refPrefix = (id: string, direction: 's' | 'r'): string => `${id}/${direction}`

const digestChars = 22

/**
 * Names a notification: its id, whether it was sent or received, and a digest of the other side and the content. So
 * nobody can touch a notification of somebody else by choosing its id, and other content under one id is another one.
 */
export function notificationRef(notification: Notification): string {
  const { id, type, from, to, key, value, operation, messageType } = notification
  const content = JSON.stringify([from, to, operation, messageType, key, value])
  const digest = hash('sha256', content, 'base64url').slice(0, digestChars)
  return `${refPrefix(id, type === 'sent' ? 's' : 'r')}${digest}`
}

/** Key of a notification's body: by time. */
export const notificationKey = (at: number, ref: string): string => `${sortable(at)}/${ref}`

/** The `notificationRef` behind `notificationKey`. */
export const refOfKey = (key: string): string => key.slice(width + 1)

const ranks: readonly Priority[] = ['low', 'medium', 'high']
/** Places of one priority: more than are ever given. Versions that knew of no priorities gave those of `low`. */
const rankSize = 2 ** 48

/** Place of the one that was queued as the `number`th. */
export const placeOf = (priority: Priority, number: number): number => ranks.indexOf(priority) * rankSize + number

/** The number behind `placeOf`. */
export const numberOf = (place: number): number => place % rankSize

/** The priority behind `placeOf`. */
export const priorityOf = (place: number): Priority => ranks[Math.floor(place / rankSize)] ?? 'high'

/** Key of an outbox entry: by priority and in queue order for each recipient. No atSign contains `/`. */
export const outboxKey = (recipient: AtSign, place: number): string => `${recipient}/${sortable(place)}`

/** The recipient and the place behind `outboxKey`. */
export function fromOutboxKey(key: string): { recipient: AtSign; place: number } {
  const slash = key.indexOf('/')
  return { recipient: key.slice(0, slash) as AtSign, place: fromSortable(key.slice(slash + 1)) }
}

/** What can expire: record, notification, enrollment. */
export type ExpiryKind = 'r' | 'n' | 'e'

/** Key of an expiry entry: by time. */
export const expiryKey = (at: number, kind: ExpiryKind, target: string): string => `${sortable(at)}/${kind}/${target}`

/** The parts behind `expiryKey`. */
export const fromExpiryKey = (key: string): { kind: ExpiryKind; target: string } => ({
  kind: key.slice(width + 1, width + 2) as ExpiryKind,
  target: key.slice(width + 3),
})
