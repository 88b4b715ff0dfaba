import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Operation } from './database.ts'
import { type LogRecord, readLog } from './log-file.ts'

// A batch is: sequence number (8 bytes), count (4), then for each operation its type, key and, for a put, value, each
// with its length as a varint (db/write_batch.cc of google/leveldb).

const batchHeader = 12
const putType = 1

interface Reader {
  at: number
  readonly bytes: Buffer
}

function varint(reader: Reader): number | undefined {
  let value = 0
  for (let shift = 0; shift <= 28; shift += 7) {
    const byte = reader.bytes[reader.at]
    if (byte === undefined) return undefined
    reader.at += 1
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return value
  }
  return undefined
}

function slice(reader: Reader): Buffer | undefined {
  const length = varint(reader)
  if (length === undefined || reader.at + length > reader.bytes.length) return undefined
  reader.at += length
  return reader.bytes.subarray(reader.at - length, reader.at)
}

/** The operations of a batch, as many as can be made out. */
function* operationsOf(batch: Buffer): Generator<Operation> {
  const reader: Reader = { at: batchHeader, bytes: batch }
  while (reader.at < batch.length) {
    const type = batch[reader.at]
    reader.at += 1
    const key = type === 0 || type === putType ? slice(reader) : undefined
    const value = type === putType && key !== undefined ? slice(reader) : undefined
    if (key === undefined || (type === putType && value === undefined)) return
    yield { key: key.toString('utf8'), value }
  }
}

/** What the log files of a database hold, when LevelDB itself would lose a part of it. */
export interface Salvage {
  /** The latest operation on each key; writing them again changes nothing that LevelDB has read. */
  readonly operations: readonly Operation[]
  /** Keys of which the latest change is in a batch that cannot be used. Full keys. */
  readonly lost: readonly string[]
  /** Batches that cannot be used. */
  readonly batches: number
  /** Names of the files with damage. */
  readonly files: readonly string[]
}

const wholeKey = /^![a-z-]+!\P{C}*$/u

function take(record: LogRecord, latest: Map<string, Operation | undefined>): void {
  for (const operation of operationsOf(record.data)) {
    if (record.state !== 'damaged') latest.set(operation.key, operation)
    else if (wholeKey.test(operation.key)) latest.set(operation.key, undefined)
  }
}

/**
 * Reads the log files of a database that is not open.
 * @returns undefined when all is sound; a write that was cut off at the end of a file, as a power cut leaves it, is sound
 */
export async function inspectLogs(path: string): Promise<Salvage | undefined> {
  const names = (await readdir(path)).filter((name) => /^\d+\.log$/.test(name))
  names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
  const latest = new Map<string, Operation | undefined>()
  const files = new Set<string>()
  let batches = 0
  for (const name of names) {
    for (const record of readLog(await readFile(join(path, name)))) {
      if (record.state !== 'sound') files.add(name)
      if (record.state === 'damaged') batches += 1
      take(record, latest)
    }
  }
  if (files.size === 0) return undefined
  const operations: Operation[] = []
  const lost: string[] = []
  for (const [key, operation] of latest) {
    if (operation === undefined) lost.push(key)
    else operations.push(operation)
  }
  return { operations, lost, batches, files: [...files] }
}

/** Whether a MANIFEST says less than was written to it: LevelDB would then delete the tables it does not name. */
async function isManifestDamaged(path: string, names: readonly string[]): Promise<boolean> {
  for (const name of names.filter((one) => /^MANIFEST-\d+$/.test(one))) {
    for (const { state } of readLog(await readFile(join(path, name)))) if (state !== 'sound') return true
  }
  return false
}

/** The end of every table (doc/table_format.md of google/leveldb). */
const tableFooterBytes = 48
const tableMagic = 0xdb47_7524_8b80_fb57n

async function isTable(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    if (size < tableFooterBytes) return false
    const magic = Buffer.alloc(8)
    await file.read(magic, 0, 8, size - 8)
    return magic.readBigUInt64LE() === tableMagic
  } finally {
    await file.close()
  }
}

/**
 * What is wrong with the files of a database that is not open, and what LevelDB would find out too late: an edit in the
 * MANIFEST that is cut short, or a table that has no end.
 * @returns undefined when nothing is, as far as a look at a few bytes tells
 */
export async function flawOf(path: string): Promise<string | undefined> {
  const names = await readdir(path)
  if (await isManifestDamaged(path, names)) return 'its MANIFEST is damaged'
  for (const name of names.filter((one) => /\.(?:ldb|sst)$/.test(one))) {
    if (!(await isTable(join(path, name)))) return `its table ${name} is cut short`
  }
  return undefined
}
