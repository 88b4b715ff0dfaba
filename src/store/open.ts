import { chmod, mkdir, open, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { AtSign } from '../core/at-sign.ts'
import type { Log } from '../core/log.ts'
import { type Database, openDatabase } from './database.ts'
import { type Identity, tables } from './layout.ts'
import { type Migration, migrate } from './migrations.ts'
import { reasonOf, StoreRefusal } from './refusal.ts'
import { seal, unseal } from './seal.ts'

// A data directory holds the database and, beside it, a marker with its identity. Once the marker is there nothing is
// ever created again: with a lost CURRENT file LevelDB would take the directory for empty and delete every table.

const databaseName = 'level'
const markerName = 'store.json'
const identityKey = `${tables.identity.prefix}store`

/** How to open. */
export interface OpenOptions {
  readonly directory: string
  readonly atSign: AtSign
  readonly log: Log
  readonly migrations: readonly Migration[]
  /** Format that this program writes. */
  readonly format: number
}

const isIdentity = (value: unknown): value is Identity =>
  typeof value === 'object' && value !== null && 'format' in value && 'atSign' in value

const has = (error: unknown, code: string): boolean =>
  error instanceof Error && (('code' in error && error.code === code) || has(error.cause, code))

function parseIdentity(text: string | undefined): Identity | undefined {
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return isIdentity(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** @returns undefined when there is no marker; its identity is undefined when it cannot be read */
async function readMarker(directory: string): Promise<{ identity: Identity | undefined } | undefined> {
  try {
    return { identity: parseIdentity(await readFile(join(directory, markerName), 'utf8')) }
  } catch (error) {
    if (has(error, 'ENOENT')) return undefined
    throw error
  }
}

async function flush(path: string, content?: string): Promise<void> {
  const file = await open(path, content === undefined ? 'r' : 'w', 0o600)
  try {
    if (content !== undefined) await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function writeMarker(directory: string, identity: Identity): Promise<void> {
  const path = join(directory, markerName)
  await flush(`${path}.new`, `${JSON.stringify(identity)}\n`)
  await rename(`${path}.new`, path)
  await flush(directory)
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

async function privateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await chmod(path, 0o700)
}

async function openLevel(directory: string, provisioned: boolean): Promise<Database> {
  const path = join(directory, databaseName)
  await privateDirectory(path)
  const files = await readdir(path)
  const found = files.includes('CURRENT')
  if (!found && (provisioned || files.some((name) => /\.(ldb|sst|log)$/.test(name)))) {
    const detail = 'its file CURRENT is missing; nothing was changed, and a repair may bring all of it back'
    throw new StoreRefusal('missing', `the store in ${directory} cannot be opened: ${detail}`)
  }
  try {
    return await openDatabase(path, { create: !found })
  } catch (cause) {
    if (has(cause, 'LEVEL_LOCKED')) {
      throw new StoreRefusal('locked', `the store in ${directory} is in use by another process`, cause)
    }
    throw new StoreRefusal('damaged', `the store in ${directory} cannot be opened: ${reasonOf(cause)}`, cause)
  }
}

async function isEmpty(database: Database): Promise<boolean> {
  for await (const _ of database.keys({ prefix: '', limit: 1 })) return false
  return true
}

async function writeIdentity(database: Database, identity: Identity): Promise<void> {
  await database.batch([{ key: identityKey, value: seal(identityKey, JSON.stringify(identity)) }], true)
}

/** The identity inside the database; a new one for a new database. */
async function identify(
  database: Database,
  options: OpenOptions,
  marker: Identity | undefined,
  provisioned: boolean,
): Promise<Identity> {
  const stored = database.get(identityKey)
  const identity = parseIdentity(stored === undefined ? undefined : unseal(identityKey, stored))
  if (identity !== undefined) return identity
  if (marker !== undefined) {
    options.log('warn', 'the identity of the store was damaged and is taken from its marker', { ...marker })
    await writeIdentity(database, marker)
    return marker
  }
  if (stored !== undefined || provisioned || !(await isEmpty(database))) {
    throw new StoreRefusal(
      'foreign',
      `the database in ${options.directory} is not one of atedge, or its identity is lost`,
    )
  }
  const fresh: Identity = { format: options.format, atSign: options.atSign }
  await writeIdentity(database, fresh)
  return fresh
}

/**
 * Opens the database of one atSign, makes it when the directory was never provisioned, and brings it to this format.
 * @throws StoreRefusal when it is locked, lost, damaged, of another atSign, of a newer format or not of atedge
 */
export async function openOwn(options: OpenOptions): Promise<Database> {
  const { directory, atSign, format } = options
  await privateDirectory(directory)
  const marker = await readMarker(directory)
  if (marker?.identity !== undefined) judge(marker.identity, options)
  const database = await openLevel(directory, marker !== undefined)
  try {
    const identity = await identify(database, options, marker?.identity, marker !== undefined)
    judge(identity, options)
    await migrate(database, identity.format, options, (reached) => writeIdentity(database, { format: reached, atSign }))
    if (marker?.identity?.format !== format) await writeMarker(directory, { format, atSign })
    return database
  } catch (error) {
    await database.close()
    throw error
  }
}
