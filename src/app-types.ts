import type { Duplex } from 'node:stream'
import type { AtSign } from './core/at-sign.ts'
import type { Clock } from './core/clock.ts'
import type { FlooredClock } from './core/clock-floor.ts'
import type { DiskUse } from './core/disk.ts'
import type { StoreHealth } from './core/health.ts'
import type { Log } from './core/log.ts'
import type { Durability } from './core/storage.ts'
import type { Wear } from './device/wear.ts'
import type { Resolver } from './directory/resolver.ts'
import type { PlaceLimits } from './server/places.ts'
import type { Origin } from './server/server.ts'
import type { FederationSettings } from './services/federation.ts'
import type { RefreshTimes } from './services/refresh.ts'
import type { SnapshotSource } from './services/snapshots.ts'
import type { StoreOptions } from './store/store.ts'
import type { Ports } from './verbs/verb.ts'

/** What one atServer is made of. */
export interface AtServerOptions {
  readonly atSign: AtSign
  /** Folder of the database; made when it is missing. */
  readonly directory: string
  /** Folder of the snapshots from which the database is restored when it cannot be used any more. */
  readonly snapshots?: string
  /** Finds other atSigns. */
  readonly resolver: Pick<Resolver, 'resolve'>
  /** Opens TLS to another atServer with this one's certificate. */
  readonly dial: (address: { host: string; port: number }) => Promise<Duplex>
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  readonly federation?: FederationSettings
  readonly autoNotify?: boolean
  /** Lets the owner change settings by `config:set` until the next start. */
  readonly testingMode?: boolean
  /** Life of notifications that name none, in milliseconds. */
  readonly notificationMs?: number
  /** How long, in milliseconds, and how many bytes of notifications are kept at most; those of `limits` unless told. */
  readonly notificationLog?: StoreOptions['notificationLog']
  /** Bytes that the card bears in its life. */
  readonly enduranceBytes?: number
  /** Bytes that the store may take; as many as its file system has unless told. */
  readonly maxBytes?: number | undefined
  /** Of changes on connections that name none; `group` unless told. */
  readonly durability?: Durability
  /** How long changes in `interval` mode may be acknowledged before they are on flash, in milliseconds. */
  readonly intervalMs?: number
  /** Bytes that the check of everything stored may read in a day; 0 turns it off. */
  readonly scrubPerDay?: number
  /** Room that one peer may take; that of `limits` unless told. */
  readonly peerQuota?: Ports['peerQuota']
  readonly serverCertificate?: Ports['serverCertificate']
  /** How many connections there may be; `limits.ts` where it says nothing. */
  readonly places?: Partial<PlaceLimits>
  /** Notifications that may wait for one recipient; that of `limits` unless told. */
  readonly outboxPerPeer?: number
  /** Numbers from 0 up to 1 that spread attempts and rounds, so that devices do not act together; injected by tests. */
  readonly random?: () => number
  /** When copies of other atSigns' records are refreshed; injected by tests. */
  readonly refreshTimes?: RefreshTimes
}

/** How an atServer is. Milliseconds and bytes. */
export interface AtServerStatus {
  readonly activated: boolean
  readonly uptimeMs: number
  /** Open connections: to this server by who stands behind them, and from it to others. */
  readonly connections: Readonly<Record<'total' | 'self' | 'other' | 'anon' | 'outbound', number>>
  /** Bytes held for long lines of peers: their commands until they are answered, and their replies to this server. */
  readonly peerLineBytes: Readonly<Record<'commands' | 'replies', number>>
  /** -1 while nothing was written. */
  readonly lastCommitId: number
  readonly storeBytes: number
}

/** The atServer of one atSign. Several live side by side in one process. */
export interface AtServer {
  readonly atSign: AtSign
  /** The time by which it stamps and judges everything; see `createFlooredClock`. */
  readonly clock: FlooredClock
  /** Serves a stream that was accepted elsewhere: HTTP where ALPN chose it, else the atProtocol. */
  handle(stream: Duplex, origin: Origin): void
  /**
   * Opens a connection from inside the process; it passes the same gate as one over TLS and takes no place.
   * @param durability of the changes made on it; that of the store unless told
   */
  connect(durability?: Durability): Duplex
  /** The same, logged in already with all that the owner may do: for the control socket, whose permissions are the login. */
  connectAsOwner(): Duplex
  activated(): Promise<boolean>
  /** The store as it lies on flash, for snapshots and backups. */
  readonly content: SnapshotSource
  /** How its store is: what was lost, and what was done about it. */
  health(): StoreHealth
  /** The room that its store has. */
  disk(): DiskUse
  /** What the process writes to its card, and how long that will bear it. */
  wear(): Wear
  /** Numbers for the people who run it. */
  status(): Promise<AtServerStatus>
  /** The CRAM secret of an atSign that is not activated yet, made on first use; undefined once it is activated. */
  cramSecret(): Promise<string | undefined>
  /** Stops taking commands, waits for changes under way, closes the store. */
  close(): Promise<void>
}
