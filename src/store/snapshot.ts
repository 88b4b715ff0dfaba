import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { AtSign } from '../core/at-sign.ts'
import { limits } from '../core/limits.ts'
import { type Database, type Operation, openDatabase, type Snapshot } from './database.ts'
import { commitKey, fromSortable, isOwnersRecord, sortable, type Table, tables } from './layout.ts'
import { StoreRefusal } from './refusal.ts'
import { seal, unseal } from './seal.ts'
import {
  createSnapshotEncoder,
  readSnapshot,
  type SnapshotEnd,
  type SnapshotHeader,
  type SnapshotRow,
} from './snapshot-format.ts'

/** Bytes after which a block is written: a few thousand times the cost of one, and little memory. */
const blockBytes = 65_536

function readRow<Row>(database: Database, table: Table<Row>, key: string, snapshot?: Snapshot): Row | undefined {
  const full = table.prefix + key
  const stored = database.get(full, snapshot)
  const json = stored === undefined ? undefined : unseal(full, stored)
  return json === undefined ? undefined : table.unpack(JSON.parse(json), key)
}

/** The highest commit id ever issued: the mark, or the newest entry should the mark be damaged. */
async function lastCommitId(database: Database, snapshot: Snapshot): Promise<number> {
  const { prefix } = tables.commits
  let last = readRow(database, tables.meta, commitKey, snapshot) ?? -1
  for await (const key of database.keys({ prefix, reverse: true, limit: 1, snapshot })) {
    last = Math.max(last, fromSortable(key.slice(prefix.length)))
  }
  return last
}

/**
 * The whole database at one moment as bytes, while it goes on changing. Memory is bounded, and every block waits for the
 * thread pool, so that others get their turn. Old versions of rows stay on disk until it ends: do not leave it lying.
 * @param owner whose database it is, its format and the time
 * @throws AtError AT0002 when the database cannot be read to its end
 */
export async function* writeSnapshot(
  database: Database,
  owner: Omit<SnapshotHeader, 'lastCommitId'>,
): AsyncGenerator<Uint8Array> {
  await database.ready()
  const snapshot = database.snapshot()
  try {
    const encoder = createSnapshotEncoder({ ...owner, lastCommitId: await lastCommitId(database, snapshot) })
    yield encoder.head
    let rows = 0
    let records = 0
    let damaged = 0
    let block: SnapshotRow[] = []
    let size = 0
    for await (const row of database.scan({ prefix: '', snapshot })) {
      rows += 1
      if (unseal(...row) === undefined) damaged += 1
      else if (isOwnersRecord(row[0])) records += 1
      block.push(row)
      size += row[0].length + row[1].length
      if (size < blockBytes) continue
      yield await encoder.block(block)
      block = []
      size = 0
    }
    if (block.length > 0) yield await encoder.block(block)
    yield encoder.end({ rows, records, damaged })
  } finally {
    await snapshot.close()
  }
}

/** What was restored. */
export type Restored = SnapshotHeader & SnapshotEnd

/** Which database a snapshot may become. */
export interface RestoreTarget {
  /** Folder of the new LevelDB: not there yet, or empty. */
  readonly target: string
  readonly atSign: AtSign
  /** Highest format that this program reads. */
  readonly format: number
  /** A commit id that was issued for sure, though the snapshot may be older. */
  readonly issued?: number
  /** Told the bytes of rows after each block. */
  readonly onProgress?: (bytes: number) => void
}

function judge(header: SnapshotHeader, { atSign, format }: RestoreTarget): void {
  if (header.atSign !== atSign) {
    throw new StoreRefusal('other-atsign', `the snapshot belongs to ${header.atSign}, not to ${atSign}`)
  }
  if (header.format > format) {
    const versions = `format ${header.format}, this program reads up to ${format}`
    throw new StoreRefusal('newer', `the snapshot is of a store of a newer version (${versions})`)
  }
}

const sealed = <Row>(table: Table<Row>, key: string, row: Row): Operation => {
  const full = table.prefix + key
  return { key: full, value: seal(full, JSON.stringify(table.pack(row))) }
}

/**
 * Continues the commit ids far above any that the lost database can have issued. The entry of the signing key, which never
 * changes and which every client may read, moves to the new highest id: clients that are ahead of the snapshot read this
 * one entry and have caught up (page 04, section 12).
 */
function skipCommits(database: Database, { atSign, lastCommitId }: SnapshotHeader, issued: number): Operation[] {
  const next = Math.max(lastCommitId, issued) + limits.restoreCommitGap
  if (!Number.isSafeInteger(next)) throw new StoreRefusal('damaged', 'the snapshot holds an impossible commit id')
  const mark = sealed(tables.meta, commitKey, next)
  const gapTo = (last: number): Operation => sealed(tables.gaps, sortable(lastCommitId + 1), last)
  const key = `public:signing_publickey${atSign}`
  const record = readRow(database, tables.records, key)
  const entry = record === undefined ? undefined : readRow(database, tables.commits, sortable(record.commitId))
  if (record === undefined || entry?.key !== key) return [mark, gapTo(next)]
  return [
    mark,
    gapTo(next - 1),
    { key: tables.commits.prefix + sortable(record.commitId), value: undefined },
    sealed(tables.commits, sortable(next), { ...entry, commitId: next }),
    sealed(tables.records, key, { ...record, commitId: next }),
  ]
}

async function load(
  folder: string,
  header: SnapshotHeader,
  blocks: AsyncIterable<readonly SnapshotRow[]>,
  { onProgress, issued = -1 }: RestoreTarget,
): Promise<void> {
  const database = await openDatabase(folder, { create: true })
  let bytes = 0
  try {
    for await (const rows of blocks) {
      const operations = rows.map(([key, value]) => ({ key, value }))
      await database.batch(operations, false)
      bytes += rows.reduce((sum, [key, value]) => sum + key.length + value.length, 0)
      onProgress?.(bytes)
    }
    await database.batch(skipCommits(database, header, issued), true)
    // An older log may be on its way into a table still.
    await database.syncLog()
  } finally {
    await database.close()
  }
}

async function fill(folder: string, chunks: AsyncIterable<Uint8Array>, target: RestoreTarget): Promise<Restored> {
  const reading = await readSnapshot(chunks)
  const { header, blocks, end } = reading
  try {
    judge(header, target)
    await load(folder, header, blocks, target)
    return { ...header, ...(end() ?? { rows: 0, damaged: 0 }) }
  } finally {
    await reading.close()
  }
}

/** Makes what was renamed or made in a folder last through a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Makes a database of a snapshot: beside the target, and in its place only when the last byte of the snapshot was right.
 * @throws StoreRefusal with the reason when the snapshot cannot be used, Error when the target is not empty or the disk
 * does not take it; the target is then as it was
 */
export async function restoreSnapshot(chunks: AsyncIterable<Uint8Array>, target: RestoreTarget): Promise<Restored> {
  const present = await readdir(target.target).catch(() => [])
  if (present.length > 0) throw new Error(`${target.target} is not empty, so nothing is restored into it`)
  const folder = `${target.target}.restoring`
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    const restored = await fill(folder, chunks, target)
    await syncFolder(folder)
    await rename(folder, target.target)
    await syncFolder(dirname(target.target))
    return restored
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}
