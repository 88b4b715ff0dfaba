import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Database } from './database.ts'
import { readDurable, writeDurably } from './durable-file.ts'
import { type Again, createHandle, type Handle } from './handle.ts'
import type { Losses } from './health.ts'
import { isTaken } from './in-use.ts'
import { type Climbed, climb, databaseName } from './ladder.ts'
import { type Identity, tables } from './layout.ts'
import { type Migration, migrate } from './migrations.ts'
import { hasCode, reasonOf, StoreRefusal } from './refusal.ts'
import { seal, unseal } from './seal.ts'
import { beginStart, type Starts } from './starts.ts'
import type { TableSums } from './tables.ts'

// A data directory holds the database and, beside it, a marker with its identity. Once the marker is there nothing is
// made anew by accident: with a lost CURRENT file LevelDB would take the directory for empty and delete every table.

const markerName = 'store.json'
const identityKey = `${tables.identity.prefix}store`

/** How to open. */
export interface OpenOptions {
  readonly directory: string
  readonly atSign: AtSign
  readonly clock: Clock
  readonly log: Log
  readonly losses: Losses
  readonly migrations: readonly Migration[]
  /** Format that this program writes. */
  readonly format: number
  /** Folder of the snapshots, should there be one. */
  readonly snapshots: string | undefined
  /** Seam for tests: told after every step that changes files of the database. */
  readonly changed: (what: string) => Promise<void>
  /** Seam for tests: of the database (database.ts). */
  readonly memtableBytes?: number | undefined
}

/** An opened store, and what is known about its start. */
export interface Opened extends Omit<Climbed, 'database'> {
  readonly database: Handle
  readonly starts: Starts
}

const isIdentity = (value: unknown): value is Identity =>
  typeof value === 'object' && value !== null && 'format' in value && 'atSign' in value

function parseIdentity(text: string | undefined): Identity | undefined {
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return isIdentity(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The marker of a provisioned place; its identity is undefined when it cannot be trusted. */
interface Marker {
  readonly identity: Identity | undefined
}

async function readMarker(directory: string): Promise<Marker | undefined> {
  try {
    const marker = await readDurable(join(directory, markerName))
    return marker && { identity: isIdentity(marker.members) ? marker.members : undefined }
  } catch (cause) {
    throw new StoreRefusal('unreadable', `the store in ${directory} cannot be read: ${reasonOf(cause)}`, cause)
  }
}

function judge(identity: Identity, { directory, atSign, format }: OpenOptions): void {
  if (identity.atSign !== atSign) {
    throw new StoreRefusal('other-atsign', `the store in ${directory} belongs to ${identity.atSign}, not to ${atSign}`)
  }
  if (identity.format > format) {
    const versions = `format ${identity.format}, this program reads up to ${format}`
    throw new StoreRefusal('newer', `the store in ${directory} was written by a newer version (${versions})`)
  }
}

/** Made when it is missing, and closed to everybody else. A folder that takes no writes is left as it is. */
async function privateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    await chmod(path, 0o700)
  } catch (cause) {
    if (['EROFS', 'EPERM', 'EACCES'].some((code) => hasCode(cause, code))) return
    throw new StoreRefusal('unreadable', `the store in ${path} cannot be made: ${reasonOf(cause)}`, cause)
  }
}

async function isEmpty(database: Database): Promise<boolean> {
  for await (const _ of database.keys({ prefix: '', limit: 1 })) return false
  return true
}

async function writeIdentity(database: Database, identity: Identity): Promise<void> {
  await database.batch([{ key: identityKey, value: seal(identityKey, JSON.stringify(identity)) }], true)
}

function storedIdentity(database: Database): Identity | undefined {
  try {
    const stored = database.get(identityKey)
    return parseIdentity(stored === undefined ? undefined : unseal(identityKey, stored))
  } catch {
    return undefined
  }
}

/** The identity inside the database; a new one for a new database. */
async function identify(database: Database, options: OpenOptions, known: Identity | undefined): Promise<Identity> {
  const stored = storedIdentity(database)
  if (stored !== undefined) return stored
  if (known === undefined && !(await isEmpty(database))) {
    throw new StoreRefusal(
      'foreign',
      `the database in ${options.directory} is not one of atedge, or its identity is lost`,
    )
  }
  const identity = known ?? { format: options.format, atSign: options.atSign }
  if (database.readOnly() === undefined) await writeIdentity(database, identity)
  return identity
}

/** Brings a database that can be written to this format, and its marker with it. */
async function bringUp(database: Database, options: OpenOptions, marker: Marker | undefined): Promise<void> {
  const { directory, atSign, format } = options
  // A marker that cannot be trusted says one thing all the same: this place was provisioned.
  const known = marker === undefined ? undefined : (marker.identity ?? { format, atSign })
  const identity = await identify(database, options, known)
  judge(identity, options)
  if (database.readOnly() !== undefined) return
  await migrate(database, identity.format, options, (reached) => writeIdentity(database, { format: reached, atSign }))
  if (marker?.identity?.format !== format) await writeDurably(join(directory, markerName), { format, atSign })
}

async function climbAndBringUp(
  options: OpenOptions,
  marker: Marker | undefined,
  how: Again & { readonly sums: TableSums },
): Promise<Climbed> {
  const climbed = await climb({ ...options, ...how, provisioned: marker !== undefined })
  try {
    await bringUp(climbed.database, options, marker)
    return climbed
  } catch (error) {
    await climbed.database.close()
    throw error
  }
}

/**
 * Opens the database of one atSign, makes it when the directory was never provisioned, and brings it to this format.
 * @throws StoreRefusal when it is locked, of another atSign, of a newer format, not of atedge or cannot even be read
 */
export async function openOwn(options: OpenOptions): Promise<Opened> {
  const { directory, atSign, format, losses } = options
  await privateDirectory(directory)
  const marker = await readMarker(directory)
  if (marker?.identity !== undefined) judge(marker.identity, options)
  const path = join(directory, databaseName)
  const starts = await beginStart(options, marker !== undefined && !(await isTaken(path)))
  if (starts.isLogShort) losses.step('its log is shorter than it was when it was closed: its latest changes are lost')
  const climbed = await climbAndBringUp(options, marker, {
    ...{ thorough: starts.suspect, afterCut: starts.early, corrupt: false, sums: starts.sums },
  })
  if (climbed.database.readOnly() === undefined) await starts.opened()
  const known: Marker = { identity: marker?.identity ?? { format, atSign } }
  return {
    database: createHandle(climbed.database, path, (how) =>
      climbAndBringUp(options, known, { ...how, sums: starts.sums }),
    ),
    forgetful: climbed.forgetful || starts.isLogShort,
    async settle() {
      await climbed.settle()
      await starts.settled()
    },
    starts,
  }
}
