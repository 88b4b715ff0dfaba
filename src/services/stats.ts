import type { Identity } from '../core/access.ts'
import type { AtSign } from '../core/at-sign.ts'
import { type Clock, replyTime } from '../core/clock.ts'
import type { StoreHealth } from '../core/health.ts'
import type { Notifications, Store } from '../core/storage.ts'
import { isSynced, syncsAll } from '../core/sync.ts'
import { inTurns } from '../core/turns.ts'
import type { MetricQuery, Ports } from '../verbs/verb.ts'
import { createCostly } from './costly.ts'
import type { VisitNumbers } from './visits.ts'

/** One open connection as `stats:16` and `stats:17` show it. Times in milliseconds since the epoch. */
export interface ConnectionSummary {
  readonly identity: Identity
  /** atSign of a `from` that is not proven yet. */
  readonly claimed: AtSign | undefined
  readonly createdAt: number
  readonly lastActiveAt: number
}

const groups = { owner: 'self', peer: 'other', anyone: 'anon' } as const

/** Connections by who stands behind them. */
export function summarize(
  connections: readonly ConnectionSummary[],
): Record<'total' | (typeof groups)[keyof typeof groups], number> {
  const counts = { total: connections.length, self: 0, other: 0, anon: 0 }
  for (const { identity } of connections) counts[groups[identity.kind]]++
  return counts
}

function detailed(connections: readonly ConnectionSummary[], self: AtSign): Record<string, unknown> {
  const list = (kind: Identity['kind']): Record<string, unknown> => {
    const members = connections.filter(({ identity }) => identity.kind === kind)
    return {
      count: members.length,
      list: members.map(({ identity, claimed, createdAt, lastActiveAt }) => ({
        from: identity.kind === 'owner' ? self : identity.kind === 'peer' ? identity.atSign : (claimed ?? null),
        created: new Date(createdAt).toISOString(),
        lastAccessed: new Date(lastActiveAt).toISOString(),
      })),
    }
  }
  return { total: connections.length, self: list('owner'), other: list('peer'), anon: list('anyone') }
}

/** `{"size":"12.27","units":"KB"}`; an empty store has `unit`, as the reference prints it (page 07, section 11). */
function diskSize(bytes: number): string {
  if (bytes === 0) return JSON.stringify({ size: '0', unit: 'B' })
  const power = Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), 4)
  return JSON.stringify({ size: (bytes / 1024 ** power).toFixed(2), units: ['B', 'KB', 'MB', 'GB', 'TB'][power] })
}

/** The newest change that `sync:from` would show the session (page 07, section 11); -1 for none. */
async function lastCommit(store: Store, clock: Clock, { who, pattern, signal }: MetricQuery): Promise<number> {
  if (pattern === undefined && syncsAll(who)) return store.commits.lastId()
  for await (const { key, commitId } of inTurns(store.commits.newest(), clock, signal)) {
    if (isSynced(key, who, pattern)) return commitId
  }
  return -1
}

/** Entries of the keys that a session may read. */
async function latestEntries(store: Store, clock: Clock, { who, pattern, signal }: MetricQuery): Promise<string> {
  const entries: Record<string, [number, string]> = {}
  for await (const { key, commitId, operation } of inTurns(store.commits.entries(), clock, signal)) {
    if (pattern?.(key) !== false && isSynced(key, who, undefined)) entries[key] = [commitId, operation]
  }
  return JSON.stringify(entries)
}

/** How much of the store is lost or damaged. */
const damage = ({ state, report, healed, quarantined }: StoreHealth): Record<string, unknown> => ({
  ...{ state, found: report?.found ?? 0, healed, quarantined },
})

const timeText = (ms: number | undefined): string => (ms === undefined ? 'Not Available' : replyTime(ms))

/** LevelDB compacts by itself, so the runs that clients may ask about never were (page 07, section 11). */
const noCompaction = (): string => '{}'

/** All of them are read; `createdOn` tells when they were. */
async function notificationCount(notifications: Notifications, clock: Clock): Promise<string> {
  const type = { sent: 0, received: 0 }
  const status = { delivered: 0, failed: 0, queued: 0 }
  const operations = { update: 0, delete: 0 }
  const messageType = { key: 0, text: 0 }
  let total = 0
  for await (const notification of inTurns(notifications.since(-1), clock)) {
    total++
    type[notification.type === 'sent' ? 'sent' : 'received']++
    if (notification.status === 'delivered' || notification.status === 'queued') status[notification.status]++
    else status.failed++
    operations[notification.operation]++
    messageType[notification.messageType]++
  }
  return JSON.stringify({ total, type, status, operations, messageType, createdOn: clock.now() })
}

/** The numbers behind `stats`, read when they are asked for. */
export function createStats(sources: {
  self: AtSign
  version: string
  store: Store
  /** Those in memory included. */
  notifications: Notifications
  visits: VisitNumbers
  clock: Clock
  /** What is written to the card, as JSON shows it. */
  wear: () => object
  inbound: () => readonly ConnectionSummary[]
  outbound: () => number
}): Ports['metric'] {
  const { self, clock, store, visits, inbound } = sources
  const countNotifications = createCostly(clock, () => notificationCount(sources.notifications, clock))
  const readers: Record<number, [string, (asked: MetricQuery) => unknown]> = {
    1: ['activeInboundConnections', () => String(inbound().length)],
    2: ['activeOutboundConnections', () => String(sources.outbound())],
    3: ['lastCommitID', async (asked) => String(await lastCommit(store, clock, asked))],
    4: ['secondaryStorageSize', () => store.size()],
    5: ['topAtSigns', () => JSON.stringify(visits.topAtSigns())],
    6: ['topKeys', () => JSON.stringify(visits.topKeys())],
    7: ['secondaryServerVersion', () => sources.version],
    8: ['LastLoggedInDatetime', () => timeText(visits.last('visit'))],
    9: ['diskSize', async () => diskSize(await store.size())],
    10: ['LastPkam', () => timeText(visits.last('pkam'))],
    11: ['NotificationCount', countNotifications],
    12: ['CommitLogCompactionStats', noCompaction],
    13: ['AccessLogCompactionStats', noCompaction],
    14: ['NotificationCompactionStats', noCompaction],
    15: ['LatestCommitEntryOfEachKey', (asked) => latestEntries(store, clock, asked)],
    16: ['activeInboundConnectionsSummary', () => summarize(inbound())],
    17: ['activeInboundConnectionsDetailed', () => detailed(inbound(), self)],
    // Beyond those of the pages, so only for who asks for it by its number.
    18: ['damage', () => damage(store.health())],
    19: ['wear', sources.wear],
  }
  return async (id, asked) => {
    const reader = readers[id]
    return reader === undefined ? undefined : { name: reader[0], value: await reader[1](asked) }
  }
}
