import type { Duplex } from 'node:stream'
import { inProcessPair } from './client/in-process.ts'
import { rootIdentity } from './core/access.ts'
import type { AtSign } from './core/at-sign.ts'
import { createCache } from './core/cache.ts'
import { type Clock, elapsed } from './core/clock.ts'
import type { FlooredClock } from './core/clock-floor.ts'
import type { DiskUse } from './core/disk.ts'
import { primaryEnrollment } from './core/enrollment.ts'
import type { StoreHealth } from './core/health.ts'
import { limits } from './core/limits.ts'
import type { Log } from './core/log.ts'
import type { Notification } from './core/notification.ts'
import { compilePattern } from './core/pattern.ts'
import type { Durability, Store } from './core/storage.ts'
import { createWearMeter, type Wear } from './device/wear.ts'
import type { Resolver } from './directory/resolver.ts'
import { createHttp, httpProtocol } from './net/http.ts'
import { newCramSecret } from './provision/secret.ts'
import { createGate } from './server/dispatch.ts'
import { createResponder } from './server/http.ts'
import type { PlaceLimits } from './server/places.ts'
import { createServer, type Origin } from './server/server.ts'
import { createDelivery } from './services/delivery.ts'
import { startDiskWatch } from './services/disk-watch.ts'
import { createEphemeral, withEphemeral } from './services/ephemeral.ts'
import { createFederation, type FederationSettings } from './services/federation.ts'
import { createFeed } from './services/feed.ts'
import { createKeyChange } from './services/key-change.ts'
import { createPeers } from './services/peers.ts'
import { createProofs } from './services/proofs.ts'
import { type RefreshTimes, startRefresh } from './services/refresh.ts'
import { type CopyRefresh, createRemote } from './services/remote.ts'
import { ensureSigningKeys } from './services/signing-keys.ts'
import type { SnapshotSource } from './services/snapshots.ts'
import { createStats, summarize } from './services/stats.ts'
import { startSweep } from './services/sweep.ts'
import { startUpkeep } from './services/upkeep.ts'
import { createVisits } from './services/visits.ts'
import { openStore, type StoreOptions, type StoreSeams } from './store/store.ts'
import { cramSecretName } from './verbs/cram.ts'
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

const defaultFederation: FederationSettings = { clientCertificate: 'if-present', clientPurpose: 'lenient' }

const usualQuota: Ports['peerQuota'] = {
  notifications: { count: limits.receivedPerPeer, bytes: limits.receivedBytesPerPeer },
  copies: { count: limits.copiesPerPeer, bytes: limits.copiesBytesPerPeer },
}

/**
 * Builds and starts an atServer on its store; it listens nowhere by itself.
 * @param seams let tests see and disturb what is written
 * @throws StoreRefusal when the store belongs to another atSign, is locked or cannot be read
 */
export async function createAtServer(options: AtServerOptions, seams: StoreSeams = {}): Promise<AtServer> {
  const { atSign, directory, clock, log } = options
  const {
    durability = 'group',
    intervalMs = limits.syncIntervalMs,
    outboxPerPeer = limits.outboxPerPeer,
    maxBytes,
  } = options
  const room = maxBytes === undefined ? {} : { maxBytes }
  const store = await openStore(
    {
      ...{
        directory,
        snapshots: options.snapshots,
        atSign,
        clock,
        log,
        durability,
        intervalMs,
        outboxPerPeer,
        ...room,
      },
      notificationLog: options.notificationLog,
    },
    seams,
  )
  try {
    return await assemble(options, store)
  } catch (error) {
    await store.close()
    throw error
  }
}

async function assemble(options: AtServerOptions, store: Store): Promise<AtServer> {
  const { atSign: self, log, resolver } = options
  const { clock } = store
  const notificationMs = options.notificationMs ?? limits.notificationMs
  const sign = await ensureSigningKeys(store, self, clock)
  const proofs = createProofs(clock)
  const resolve: Resolver['resolve'] = (atSign, how) => resolver.resolve(atSign, how)
  const beforeProof: CopyRefresh['refreshKey'] = (peer, session) => remote.refreshKey(peer, session)
  const { random = Math.random } = options
  const peers = createPeers({ self, clock, log, resolve, dial: options.dial, sign, proofs, beforeProof, random })
  const settings = options.federation ?? defaultFederation
  const federation = createFederation({ settings, resolve, peers, proofs, clock, log })
  const lastCommitId = () => store.commits.lastId()
  const ephemeral = createEphemeral({ self, clock })
  const notifications = withEphemeral(store.notifications, ephemeral)
  const visits = await createVisits({ store, clock, log })
  const feed = createFeed({ self, clock, notifications, lastCommitId, log })
  const autoNotify = options.autoNotify ?? true
  const outgoing = createDelivery({ self, clock, log, store, peers, ephemeral, autoNotify, notificationMs, random })
  const { peerQuota = usualQuota } = options
  const received = (notification: Notification): void => feed.received(notification)
  const keyChanged = createKeyChange({ self, store, received })
  const remote = createRemote({ self, clock, store, peers, log, quota: peerQuota.copies, keyChanged })
  const { version } = options
  const startedAt = elapsed(clock)
  const inbound = () => server.connections()
  const metric = createStats({
    ...{ self, version, clock, store, notifications, visits, inbound },
    wear: () => wear.read(),
    outbound: () => peers.count(),
  })
  const ports: Ports = {
    ...{ self, version, clock, startedAt, remote, federation, feed, outgoing, metric, notificationMs },
    records: store.records,
    commits: store.commits,
    ...{ notifications, ephemeral, visits },
    enrollments: store.enrollments,
    write: (change, how) => store.write(change, how),
    secret: (name) => store.secret(name),
    disconnect: (other) => server.disconnect(other),
    peerQuota,
    pageEnds: createCache<string>(limits.pageEndBytes, (name, end = '') => 100 + 2 * (name.length + end.length)),
    pattern: compilePattern,
    serverCertificate: options.serverCertificate ?? (() => undefined),
  }
  const server = createServer({ gate: createGate(ports, log), feed, clock, log, places: options.places })
  const http = createHttp({
    ...{ clock, log, respond: createResponder({ self, records: store.records, clock, log }), reserve: server.reserve },
    // A browser's client certificate proves no atSign.
    onWebSocket: (stream, remoteAddress) => server.handle(stream, { remoteAddress, certificate: undefined }),
  })
  const stopSweep = startSweep({ store, clock, log })
  const { enduranceBytes = limits.enduranceBytes } = options
  const wear = await createWearMeter({ store, clock, log, enduranceBytes })
  const stopDiskWatch = startDiskWatch({ store, clock, log })
  const stopRefresh = startRefresh({ clock, log, store, remote, random, times: options.refreshTimes })
  const stopUpkeep = startUpkeep({
    ...{ self, store, clock, log, received, scrubPerDay: options.scrubPerDay ?? limits.scrubPerDayBytes },
  })
  await outgoing.start()

  const connectInside = (how: Partial<Origin>): Duplex => {
    const [near, far] = inProcessPair()
    server.handle(far, { remoteAddress: 'in-process', certificate: undefined, isInside: true, ...how })
    return near
  }

  const activated = async (): Promise<boolean> => (await store.enrollments.get(primaryEnrollment)) !== undefined

  return {
    ...{ atSign: self, clock },
    handle: (stream, origin) => (origin.alpn === httpProtocol ? http : server).handle(stream, origin),
    connect: (durability) => connectInside({ durability }),
    connectAsOwner: () => connectInside({ identity: rootIdentity }),
    activated,
    content: store,
    health: () => store.health(),
    disk: () => store.disk.use(),
    wear: wear.read,
    async status() {
      return {
        activated: await activated(),
        uptimeMs: elapsed(clock) - startedAt,
        connections: { ...summarize(inbound()), outbound: peers.count() },
        peerLineBytes: { commands: server.peerLineBytes(), replies: peers.lineBytes() },
        lastCommitId: lastCommitId(),
        storeBytes: await store.size(),
      }
    },
    cramSecret() {
      return store.write(async (tx) => {
        const known = await tx.secret(cramSecretName)
        if (known !== undefined || (await activated())) return known
        const secret = newCramSecret()
        await tx.putSecret(cramSecretName, secret)
        return secret
      })
    },
    async close() {
      outgoing.close()
      stopSweep()
      stopDiskWatch()
      stopRefresh()
      stopUpkeep()
      http.close()
      await server.close()
      feed.close()
      peers.close()
      ephemeral.close()
      await Promise.all([visits.close(), wear.close()])
      await store.close()
    },
  }
}
