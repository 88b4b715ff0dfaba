import type { Identity } from '../core/access.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Pattern } from '../core/pattern.ts'
import type { Store } from '../core/storage.ts'
import type { Metric } from '../verbs/verb.ts'

/** One open connection as `stats:16` and `stats:17` show it. Times in milliseconds since the epoch. */
export interface ConnectionSummary {
  readonly identity: Identity
  /** atSign of a `from` that is not proven yet. */
  readonly claimed: AtSign | undefined
  readonly createdAt: number
  readonly lastActiveAt: number
}

const groups = { owner: 'self', peer: 'other', anyone: 'anon' } as const

function summary(connections: readonly ConnectionSummary[]): Record<string, number> {
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

/** Keys that `sync` and `stats:3` count whatever the pattern says (page 04, section 2). */
const alwaysCounted = (key: string): boolean =>
  key.startsWith('public:publickey') ||
  (key.startsWith('public:') && !key.includes('.')) ||
  /^@[^:]+:shared_key@|^shared_key\.[^.@]+@/.test(key)

async function lastCommit(store: Store, pattern: Pattern | undefined): Promise<number> {
  if (pattern === undefined) return store.commits.lastId()
  let last = -1
  for await (const entry of store.commits.entries()) {
    if (pattern(entry.key) || alwaysCounted(entry.key)) last = entry.commitId
  }
  return last
}

async function latestEntries(store: Store, pattern: Pattern | undefined): Promise<string> {
  const entries: Record<string, [number, string]> = {}
  for await (const { key, commitId, operation } of store.commits.entries()) {
    if (pattern === undefined || pattern(key)) entries[key] = [commitId, operation]
  }
  return JSON.stringify(entries)
}

async function notificationCount(store: Store, now: number): Promise<string> {
  const type = { sent: 0, received: 0 }
  const status = { delivered: 0, failed: 0, queued: 0 }
  const operations = { update: 0, delete: 0 }
  const messageType = { key: 0, text: 0 }
  let total = 0
  for await (const notification of store.notifications.since(-1)) {
    total++
    type[notification.type === 'sent' ? 'sent' : 'received']++
    if (notification.status === 'delivered' || notification.status === 'queued') status[notification.status]++
    else status.failed++
    operations[notification.operation]++
    messageType[notification.messageType]++
  }
  return JSON.stringify({ total, type, status, operations, messageType, createdOn: now })
}

/** The numbers behind `stats`, read when they are asked for. */
export function createStats(sources: {
  self: AtSign
  version: string
  store: Store
  now: () => number
  inbound: () => readonly ConnectionSummary[]
  outbound: () => number
}): (id: number, pattern: Pattern | undefined) => Promise<Metric | undefined> {
  const { self, store, inbound } = sources
  const readers: Record<number, [string, (pattern: Pattern | undefined) => unknown]> = {
    1: ['activeInboundConnections', () => String(inbound().length)],
    2: ['activeOutboundConnections', () => String(sources.outbound())],
    3: ['lastCommitID', async (pattern) => String(await lastCommit(store, pattern))],
    4: ['secondaryStorageSize', () => store.size()],
    7: ['secondaryServerVersion', () => sources.version],
    9: ['diskSize', async () => diskSize(await store.size())],
    11: ['NotificationCount', () => notificationCount(store, sources.now())],
    15: ['LatestCommitEntryOfEachKey', (pattern) => latestEntries(store, pattern)],
    16: ['activeInboundConnectionsSummary', () => summary(inbound())],
    17: ['activeInboundConnectionsDetailed', () => detailed(inbound(), self)],
  }
  return async (id, pattern) => {
    const reader = readers[id]
    return reader === undefined ? undefined : { name: reader[0], value: await reader[1](pattern) }
  }
}
