import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import type { Enrollment } from '../../src/core/enrollment.ts'
import type { Metadata } from '../../src/core/metadata.ts'
import type { Notification } from '../../src/core/notification.ts'
import type { Change, Store, Transaction } from '../../src/core/storage.ts'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { openStore, type StoreOptions, type StoreSeams } from '../../src/store/store.ts'
import { manualClock } from '../support/clock.ts'

/** Start of every test's time. */
export const start = Date.UTC(2026, 0, 31, 10)

/** A folder of its own that goes with the test. */
export async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'atedge-store-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return join(directory, 'data')
}

/** A store of @alice that closes with the test. */
export async function opened(
  directory: string,
  options: Partial<StoreOptions> = {},
  seams: StoreSeams = {},
): Promise<Store> {
  const store = await openStore({ directory, atSign: '@alice', clock: manualClock(start), ...options }, seams)
  onTestFinished(() => store.close())
  return store
}

/** The bare database of a closed store. */
export async function bare(directory: string): Promise<Database> {
  const database = await openDatabase(join(directory, 'level'), { create: false })
  onTestFinished(() => database.close())
  return database
}

/** A logged change, now. */
export const logged: Change = { operation: '*', opTime: start, commit: true }

/** Stages a value under a key given as text. */
export const put = async (
  tx: Transaction,
  key: string,
  value: string | null,
  metadata: Metadata = {},
  change: Partial<Change> = {},
): Promise<number> => tx.putRecord(parseAtKey(key), { value, metadata }, { ...logged, ...change })

/** Stages a removal of a key given as text. */
export const remove = async (tx: Transaction, key: string, change: Partial<Change> = {}): Promise<number> =>
  tx.removeRecord(parseAtKey(key), { ...logged, operation: '-', ...change })

/** A notification from @alice to @bob. */
export const notification = (id: string, parts: Partial<Notification> = {}): Notification => ({
  id,
  from: '@alice',
  to: '@bob',
  key: '@bob:temperature.sensors@alice',
  value: '21.4',
  operation: 'update',
  messageType: 'key',
  type: 'sent',
  priority: 'low',
  strategy: 'all',
  latestN: 1,
  notifier: 'sensors',
  at: start,
  expiresAt: start + 900_000,
  status: 'queued',
  isEncrypted: true,
  metadata: {},
  ...parts,
})

/** An enrollment of an app on a board. */
export const enrollment = (id: string, parts: Partial<Enrollment> = {}): Enrollment => ({
  id,
  appName: 'app',
  deviceName: 'pi',
  namespaces: { sensors: 'rw' },
  publicKey: 'k',
  signingAlgo: 'rsa2048',
  state: 'approved',
  ...parts,
})

/** Everything an iterable gives. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

/** Every file with its content. */
export async function contents(directory: string): Promise<Record<string, string>> {
  const names = await readdir(directory, { recursive: true })
  const files: Record<string, string> = {}
  for (const name of names) {
    const path = join(directory, name)
    if ((await stat(path)).isFile()) files[name] = (await readFile(path)).toString('base64')
  }
  return files
}

/** Stores notifications in one change. */
export const keep = (store: Store, notifications: readonly Notification[]): Promise<void> =>
  store.write(async (tx) => {
    for (const each of notifications) await tx.putNotification(each)
  })

/** Ids of all notifications that are stored, the oldest first. */
export async function idsIn(store: Store): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of store.notifications.since(-1)) ids.push(id)
  return ids
}
