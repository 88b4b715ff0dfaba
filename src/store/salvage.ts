import { readdir, readFile } from 'node:fs/promises'
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
export async function isManifestDamaged(path: string): Promise<boolean> {
  for (const name of (await readdir(path)).filter((one) => /^MANIFEST-\d+$/.test(one))) {
    for (const { state } of readLog(await readFile(join(path, name)))) if (state !== 'sound') return true
  }
  return false
}
