import type { Access, Identity } from '../core/access.ts'
import type { AtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Cache } from '../core/cache.ts'
import type { FlooredClock } from '../core/clock-floor.ts'
import type { Metadata } from '../core/metadata.ts'
import type { Notification } from '../core/notification.ts'
import type { Pattern } from '../core/pattern.ts'
import type { Session, SessionKind } from '../core/session.ts'
import type {
  Commits,
  Enrollments,
  Holding,
  HoldingKind,
  Notifications,
  Records,
  Transaction,
  Waiting,
  WriteOptions,
} from '../core/storage.ts'
import type { Grammar } from '../wire/grammar.ts'
import type { Reply } from '../wire/reply.ts'

/** Reads that go to other atSigns, with their cache. */
export interface Remote {
  /** `lookup:` of another atSign's record shared with this one. @returns undefined when it is not there */
  lookup(key: AtKey, options: { bypassCache: boolean }): Promise<RemoteRecord | undefined>
  /** `plookup:` of another atSign's public record. */
  plookup(key: AtKey, options: { bypassCache: boolean }): Promise<RemoteRecord | undefined>
  /** Keys that another atSign shares with this one, as its server spells them. */
  scan(atSign: AtSign, pattern: string | undefined): Promise<readonly string[]>
}

/** A record of another atSign. */
export interface RemoteRecord {
  /** Key as shown to clients: `cached:…` tells them that the copy answered. */
  readonly key: string
  readonly value: string | null
  readonly metadata: Metadata
}

/** What stands between this atSign and others. */
export interface Federation {
  /** Judges the certificate of a connection that claims to be `atSign`. @throws AtError AT0401, AT0007 */
  admit(atSign: AtSign, session: Session): Promise<void>
  /** Dials back and checks that `atSign` published its signature of `challenge` under `name`. @throws AtError */
  verifyProof(atSign: AtSign, name: string, challenge: string): Promise<void>
  /** Signature that this atSign published under a session's name while it proves itself, if any. */
  publishedProof(name: string): string | undefined
}

/** Events behind `monitor`. Called after the commit, never before. */
export interface Feed {
  /** A notification for this atSign is stored. */
  received(notification: Notification): void
  /** A record of this atSign changed: monitors get a statistics line. */
  changed(commitId: number, operation: 'update' | 'delete'): void
}

/** What a recipient is told about a change of a record shared with it. */
export interface AutoNotice {
  readonly operation: 'update' | 'delete'
  readonly value: string | null
  readonly metadata: Metadata
  readonly at: number
  readonly priority?: Notification['priority']
}

/** Notifications on their way to other atSigns. */
export interface Outgoing {
  /** Notifications are waiting for this recipient: the one that has just been committed, where it is told. */
  wake(recipient: AtSign, committed?: Waiting): void
  /** Queues the notice of a shared record's change within the change itself, where configuration asks for it. */
  autoNotify(tx: Transaction, key: AtKey, notice: AutoNotice): void
}

/** Notifications that no store ever sees (`eph`): gone when they expire or this server stops. */
export interface Ephemeral {
  /** Whether the same one is held: same direction, other side, id and content. */
  has(notification: Notification): boolean
  /** @throws AtError AT0022 for one that is too long to be held */
  checkSize(notification: Notification): void
  /** Holds one whose size was checked; when there is no room, older ones give way. */
  put(notification: Notification): void
  remove(notification: Notification): void
}

/** Something that `stats` 5, 6, 8 and 10 count (page 01, 9.10). */
export type Visit =
  | { readonly verb: 'from' | 'cram' | 'pkam' | 'plookup' }
  | { readonly verb: 'pol'; readonly atSign: AtSign }
  | { readonly verb: 'lookup'; readonly key: AtKey }

/** Counters of visits. */
export interface Visits {
  record(visit: Visit): void
}

/** One metric behind `stats`; undefined when this server has no data for the id. */
export type Metric = { readonly name: string; readonly value: unknown }

/** Who asks for a metric, and for what of it. */
export interface MetricQuery {
  readonly who: Identity
  readonly pattern: Pattern | undefined
  /** Aborted when nobody waits for the metric any more. */
  readonly signal: AbortSignal
}

/** Settings that may be changed until the next start (page 01, 9.5). */
export interface Tuning {
  /** @throws AtError AT0022 for a value that the setting cannot have */
  set(name: string, value: string): void
  reset(name: string): void
  /** The value now; null for a setting that means nothing here and was not set. */
  print(name: string): string | null
}

/** Everything a verb may use besides its parameters and session. */
export interface Ports {
  readonly self: AtSign
  readonly version: string
  readonly clock: FlooredClock
  /** When the server started, by `elapsed`. */
  readonly startedAt: number
  readonly records: Records
  readonly commits: Commits
  readonly notifications: Notifications
  readonly enrollments: Enrollments
  /** @throws AtError AT0002 when the store could not take the change; nothing of it is then stored */
  write<T>(
    change: (tx: Transaction) => T | Promise<T>,
    options?: Pick<WriteOptions, 'durability' | 'inMemory'>,
  ): Promise<T>
  /** Reads a server-internal secret. */
  secret(name: string): Promise<string | undefined>
  readonly remote: Remote
  readonly federation: Federation
  readonly feed: Feed
  readonly outgoing: Outgoing
  readonly ephemeral: Ephemeral
  readonly visits: Visits
  /** Undefined unless the device is in testing mode. */
  readonly tuning: Tuning | undefined
  /** Closes the connections of another atSign, proven or about to prove itself. */
  disconnect(atSign: AtSign): void
  /** One metric as a session may see it. */
  metric(id: number, asked: MetricQuery): Promise<Metric | undefined>
  /** Told before another notification of a peer is stored beside those that are held; makes room where they are many. */
  crowded(peer: AtSign, held: Holding): void
  /** Room that one peer may take here. */
  readonly peerQuota: Readonly<Record<HoldingKind, Holding>>
  /** Client regexes are compiled here, once each. */
  pattern(source: string): Pattern
  /** Where pages of `scan` ended: the next one begins there, and walking through all of them reads everything once. */
  readonly pageEnds: Cache<string>
  /** Life of a notification that names none, in milliseconds. */
  readonly notificationMs: number
  /** The certificate chain that peers meet, and when its files last changed; undefined where it came from elsewhere. */
  serverCertificate(): { chain: string; chainModified?: number; keyModified?: number } | undefined
}

/** The gate, for a verb that carries commands. */
export interface Nested {
  /** Name of the verb of a line, undefined for an unknown one. */
  verbOf(line: string): string | undefined
  /** Judges and runs a line as if the same session had sent it; an error comes as a reply. */
  run(line: string): Promise<Reply>
}

/** What the gate hands to a verb besides parameters and ports. */
export interface Call {
  readonly session: Session
  /** Aborted when the connection goes away. */
  readonly signal: AbortSignal
  nested(): Nested
}

/** A verb in one place: everything the gate, the client, the help and the tests need to know about it. */
export interface Verb<P> {
  /** Name as the protocol spells it, `update:meta` included. */
  readonly name: string
  readonly summary: string
  readonly grammar: Grammar<P>
  /** Session kinds that may use it, judged before parsing. */
  readonly admits: readonly SessionKind[]
  /** Keys it wants to touch, judged by `permits` after parsing. */
  access?(params: NoInfer<P>, session: Session, self: AtSign): readonly Access[]
  run(params: NoInfer<P>, ports: Ports, call: Call): Promise<Reply> | Reply
  /**
   * Whether the next command that says so too may be started once this one's change is staged, before its commit: it
   * makes one change through `write`, and its answer leaves the session as it is.
   * @param rest text behind the verb's name
   */
  overlaps?(rest: string): boolean
  /** Whether the same line is likely to come again; no secret may stand in it. */
  readonly repeats?: true
  /**
   * For a verb that repeats: the one stored object from which its reply is made. As long as the same object comes back, the
   * same session is given the same reply, without `run`. Undefined where the reply depends on more, such as the time.
   */
  source?(params: NoInfer<P>, ports: Ports): object | undefined
  /** Whole command lines; parsed, formatted and fuzzed by the suite. The first is shown in usage texts. */
  readonly examples: readonly string[]
}

/** Declares a verb with its parameter type inferred from its grammar. */
export const defineVerb = <P>(verb: Verb<P>): Verb<P> => verb

/** Admits every kind of session. */
export const everyone: readonly SessionKind[] = ['anyone', 'challenged', 'owner', 'peer']
