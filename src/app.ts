import type { Duplex } from 'node:stream'
import type { AtServer, AtServerOptions } from './app-types.ts'
import { inProcessPair } from './client/in-process.ts'
import { rootIdentity } from './core/access.ts'
import { createCache } from './core/cache.ts'
import { elapsed } from './core/clock.ts'
import { primaryEnrollment } from './core/enrollment.ts'
import { limits } from './core/limits.ts'
import type { Notification } from './core/notification.ts'
import { compilePattern } from './core/pattern.ts'
import type { Store } from './core/storage.ts'
import { createWearMeter } from './device/wear.ts'
import type { Resolver } from './directory/resolver.ts'
import { createHttp, httpProtocol } from './net/http.ts'
import { newCramSecret } from './provision/secret.ts'
import { createGate } from './server/dispatch.ts'
import { createResponder } from './server/http.ts'
import type { PlaceLimits } from './server/places.ts'
import { createServer, type Origin } from './server/server.ts'
import { createCrowding } from './services/crowding.ts'
import { createDelivery } from './services/delivery.ts'
import { startDiskWatch } from './services/disk-watch.ts'
import { createEphemeral, withEphemeral } from './services/ephemeral.ts'
import { createFederation, type FederationSettings } from './services/federation.ts'
import { createFeed } from './services/feed.ts'
import { createKeyChange } from './services/key-change.ts'
import { createPeers } from './services/peers.ts'
import { createProofs } from './services/proofs.ts'
import { startRefresh } from './services/refresh.ts'
import { type CopyRefresh, createRemote } from './services/remote.ts'
import { ensureSigningKeys } from './services/signing-keys.ts'
import { createStats, summarize } from './services/stats.ts'
import { startSweep } from './services/sweep.ts'
import { createTuning } from './services/tuning.ts'
import { startUpkeep } from './services/upkeep.ts'
import { createVisits } from './services/visits.ts'
import { openStore, type StoreSeams } from './store/store.ts'
import { cramSecretName } from './verbs/cram.ts'
import type { Ports } from './verbs/verb.ts'

export type { AtServer, AtServerOptions, AtServerStatus } from './app-types.ts'

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
  const usual = {
    inboundMaxLimit: options.places?.total ?? limits.inboundConnections,
    autoNotify: options.autoNotify ?? true,
  }
  const tuning = createTuning(usual, () => refresh.now())
  const { tuned } = tuning
  const outgoing = createDelivery({
    ...{ self, clock, log, store, peers, ephemeral, notificationMs, random },
    get autoNotify() {
      return tuned.autoNotify
    },
  })
  const { peerQuota = usualQuota } = options
  const received = (notification: Notification): void => feed.received(notification)
  const keyChanged = createKeyChange({ self, store, received })
  const remote = createRemote({ self, clock, store, peers, log, quota: peerQuota.copies, keyChanged })
  const crowding = createCrowding({ store, clock, log, room: peerQuota.notifications })
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
    ...{ peerQuota, crowded: crowding.look, tuning: options.testingMode === true ? tuning : undefined },
    pageEnds: createCache<string>(limits.pageEndBytes, (name, end = '') => 100 + 2 * (name.length + end.length)),
    pattern: compilePattern,
    serverCertificate: options.serverCertificate ?? (() => undefined),
  }
  const places: Partial<PlaceLimits> = {
    ...options.places,
    get total() {
      return tuned.inboundMaxLimit
    },
  }
  const server = createServer({ gate: createGate(ports, log), feed, clock, log, places })
  const http = createHttp({
    ...{ clock, log, respond: createResponder({ self, records: store.records, clock, log }), reserve: server.reserve },
    // A browser's client certificate proves no atSign.
    onWebSocket: (stream, remoteAddress) => server.handle(stream, { remoteAddress, certificate: undefined }),
  })
  const stopSweep = startSweep({ store, clock, log })
  const { enduranceBytes = limits.enduranceBytes } = options
  const wear = await createWearMeter({ store, clock, log, enduranceBytes })
  const stopDiskWatch = startDiskWatch({ store, clock, log })
  const refresh = startRefresh({ clock, log, store, remote, random, times: options.refreshTimes })
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
      crowding.close()
      stopSweep()
      stopDiskWatch()
      refresh.stop()
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
