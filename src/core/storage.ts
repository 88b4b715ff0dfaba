import type { AtKey } from './at-key.ts'
import type { AtSign } from './at-sign.ts'
import type { FlooredClock } from './clock-floor.ts'
import type { DiskUse } from './disk.ts'
import type { Enrollment } from './enrollment.ts'
import type { StoreHealth } from './health.ts'
import type { Metadata } from './metadata.ts'
import type { Notification, NotificationStatus, Priority } from './notification.ts'
import type { CommitEntry, CommitOperation, StoredRecord } from './record.ts'

// The storage contract: what verbs and services may ask of the store, which alone knows LevelDB.

/** Read access to committed records. Keys are canonical stored texts. */
export interface Records {
  /**
   * The record as stored, live or not; undefined when there is none. Answers at once: a hot record from memory, a cold
   * one by one read of the database, which is quicker than a hop to another thread. Only while the store recovers from a
   * failed write is there a promise to wait for.
   * @throws AtError AT0002 when its bytes are damaged
   */
  get(key: string): StoredRecord | undefined | Promise<StoredRecord | undefined>
  /** Another number than before once `get` may answer anything else for any key. */
  version(): number
  /** All stored keys that start with a prefix, behind `after` if there is one, ascending, with their metadata. */
  entries(prefix?: string, after?: string): AsyncIterable<readonly [key: string, metadata: Metadata]>
}

/** Read access to the commit log: the latest change of each key. */
export interface Commits {
  /** Highest id ever issued, -1 for none. Never goes down. */
  lastId(): number
  /** Entries with an id above `after`, ascending. */
  entries(after?: number): AsyncIterable<CommitEntry>
  /** All entries, the newest first. */
  newest(): AsyncIterable<CommitEntry>
  /** Ids, both ends included, that a power cut has left without an entry for ever, ascending. All others below `lastId` were entries. */
  gaps(): AsyncIterable<{ readonly from: number; readonly to: number }>
}

/** Read access to stored notifications. */
export interface Notifications {
  /** What an owner means by an id: the latest that was sent under it, else the latest that was received under it. */
  get(id: string): Promise<Notification | undefined>
  /** Whether the same notification is there: same direction, other side, id and content (page 04, section 4). */
  has(notification: Notification): Promise<boolean>
  /** Notifications with `at` strictly greater than `since`, ascending by `at`. */
  since(since: number): AsyncIterable<Notification>
  count(): Promise<{ total: number; sent: number; received: number }>
}

/** Read access to enrollments. */
export interface Enrollments {
  get(id: string): Promise<Enrollment | undefined>
}

/** Read access to the counters of visits, which may lag behind those in memory. */
export interface VisitCounters {
  entries(): AsyncIterable<readonly [name: string, value: number]>
}

/** How a record change enters the commit log. */
export interface Change {
  readonly operation: CommitOperation
  readonly opTime: number
  /** False for keys outside the log and for `:nc`; an existing entry of the key is then purged. */
  readonly commit: boolean
}

/**
 * One atomic change of the store. Reads see everything staged before, also by writers that are not yet on flash.
 * Nothing is visible to readers outside before the whole change is on flash.
 */
export interface Transaction {
  record(key: string): StoredRecord | undefined
  /** @returns the commit id, or -1 when the change is not committed; later where damage makes it search the log */
  putRecord(key: AtKey, record: { value: string | null; metadata: Metadata }, change: Change): number | Promise<number>
  /** Removes a record if it is there; the commit entry `-` is written either way. @returns as putRecord */
  removeRecord(key: AtKey, change: Change): number | Promise<number>
  /** As `Notifications.has`. */
  hasNotification(notification: Notification): boolean
  /** Stores a notification; the same one, stored before, is replaced. */
  putNotification(notification: Notification): void
  /** Removes a notification, from the outbox as well, if it is there. */
  removeNotification(notification: Notification): void
  /**
   * Stores a notification and queues it for its recipient; the same one, if it waits already, stays as it is. With the
   * strategy `latest` those that it makes one too many of its notifier stop waiting, the oldest first, as `expired`.
   * @returns what waits once the change is committed; undefined when the same one does already
   * @throws AtError AT0006 when that recipient's outbox is full
   */
  enqueue(notification: Notification): Waiting | undefined
  /**
   * Takes a notification out of its recipient's outbox, if it still is there, and records how that ended.
   * @param known that of its `Waiting`, when only whoever read it settles it
   */
  settle(notification: Notification, status: NotificationStatus, known?: unknown): void
  /** What is held of another atSign. */
  holding(kind: HoldingKind, of: AtSign): Holding
  putEnrollment(enrollment: Enrollment): void
  /** Server-internal secrets (CRAM secret, signing key): outside the records, never listed, never synced. */
  secret(name: string): string | undefined
  putSecret(name: string, value: string): void
  removeSecret(name: string): void
  /** Sets a counter of visits; undefined removes it. */
  putVisits(name: string, value: number | undefined): void
  /** Runs after the change is on flash, in the order of the changes. */
  onCommit(task: () => void): void
}

/** A notification that waits, and its place in the outbox of its recipient. */
export interface Waiting {
  /** Whole number, 1 or more; of one priority later ones have higher places. */
  readonly place: number
  readonly notification: Notification
  /** What the store needs to look up no more, for `waits` and `settle`. */
  readonly known?: unknown
}

/** Notifications that wait for other atSigns, those of one priority in the order in which they were queued. */
export interface Outbox {
  /** Recipients for whom anything waits. */
  recipients(): Promise<AtSign[]>
  /**
   * The first `limit` that wait for a recipient behind a place, behind 0 all of them; fewer once their keys and values
   * have `maxChars` characters. With a `priority` only those of it, else those of lower ones first.
   */
  pending(recipient: AtSign, limit: number, behind?: number, maxChars?: number, priority?: Priority): Promise<Waiting[]>
  /** Whether one that was read from a place still waits there. */
  waits(recipient: AtSign, place: number, known?: unknown): boolean
}

/** Notifications that another atSign sent, and `cached:` copies of the records that it shares. */
export type HoldingKind = 'notifications' | 'copies'

/** How much is held of another atSign: keys, values and metadata count as bytes, about. */
export interface Holding {
  readonly count: number
  readonly bytes: number
}

/**
 * When a change of a record is acknowledged. `group`: when it is on flash. `interval`: when it is in the log of the database,
 * where it outlives the process; a power cut loses what was acknowledged less than `storage.interval` ago.
 */
export type Durability = 'group' | 'interval'

/** How a change reaches flash. */
export interface WriteOptions {
  /**
   * False for changes whose loss in a power cut only means work done twice (a delivery mark): they ride along with the
   * next synced group instead of costing a flash write of their own. Default true.
   */
  readonly sync?: boolean
  /** What `sync` means; that of the store unless told. Secrets and enrollments are always on flash first. */
  readonly durability?: Durability
  /** True for a change that stores nothing: it only takes its place among the others, whatever becomes of them. */
  readonly inMemory?: boolean
}

/** The whole store of one atSign. */
export interface Store {
  /** The clock that the store was opened with, above the floor that it keeps: everything is stamped and judged by it. */
  readonly clock: FlooredClock
  readonly records: Records
  readonly commits: Commits
  readonly notifications: Notifications
  readonly enrollments: Enrollments
  readonly outbox: Outbox
  readonly visits: VisitCounters
  secret(name: string): Promise<string | undefined>
  /**
   * Runs `change` alone, after all earlier ones were staged, and resolves when it is on flash. Changes that arrive while
   * one synced batch is in flight share the next one. @throws whatever `change` throws, then nothing is stored;
   * AtError AT0002 when the store could not take it
   */
  write<T>(change: (tx: Transaction) => T | Promise<T>, options?: WriteOptions): Promise<T>
  /** Removes what expired before `now` by the expiry index; records get a `-` commit entry. @returns how many were removed */
  sweep(now: number): Promise<number>
  /**
   * Drops notifications that are older, or together larger, than is kept, the oldest first; those that wait for their
   * recipient stay. @returns how many were dropped
   */
  retain(now: number): Promise<number>
  /**
   * Drops notifications of one sender that arrived before a time, the oldest first, until no more of them are held than
   * `most`. @returns how many were dropped
   */
  thinOut(sender: AtSign, most: Holding, before: number): Promise<number>
  /** Milliseconds since the epoch of the next expiry, undefined when nothing expires. */
  nextExpiry(): Promise<number | undefined>
  /**
   * Checks roughly so many bytes of what is stored, on from where it stopped, also before a restart: checksums, and whether
   * records, commit entries, notifications and indexes agree. What can be put right is; what is lost stands in `health`.
   * @returns the bytes that were read; fewer at the end, from where it begins again
   */
  scrub(bytes: number): Promise<number>
  /** How it is: opened how, what was lost since, how far it was checked. */
  health(): StoreHealth
  /** The owner has been told of so many more steps and findings of the report. */
  ownerTold(news: number): Promise<void>
  /** The room that it has; `check` measures, and makes room where it is tight. On a full disk nothing grows: AT0002. */
  readonly disk: { use(): DiskUse; check(): Promise<void> }
  /** Bytes of the database directory, and of copies that were set aside before it was put right. */
  size(): Promise<number>
  /** Bytes written since the store was opened: changes, and tables by LevelDB's own count, to the MiB. */
  written(): number
  /** How often something was written since the store was opened. */
  changes(): number
  /**
   * Everything that is committed at one moment, as a stream that can be kept, carried away and restored. Changes go on
   * meanwhile. @throws AtError AT0002 when the database cannot be read to its end
   */
  snapshot(): AsyncIterable<Uint8Array>
  /** Waits for changes under way, then closes. Later calls fail. */
  close(): Promise<void>
}
