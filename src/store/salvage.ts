import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Operation } from './database.ts'
import { tables } from './layout.ts'
import { type LogRecord, readLog } from './log-file.ts'
import { unseal } from './seal.ts'
import { readSlice } from './varint.ts'

// A batch is: sequence number (8 bytes), count (4), then for each operation its type, key and, for a put, value, each
// with its length as a varint (db/write_batch.cc of google/leveldb).

const batchHeader = 12
const putType = 1

/** The operations of a batch, as many as can be made out. */
function* operationsOf(batch: Buffer): Generator<Operation> {
  const reader = { at: batchHeader, bytes: batch }
  while (reader.at < batch.length) {
    const type = batch[reader.at]
    reader.at += 1
    const key = type === 0 || type === putType ? readSlice(reader) : undefined
    const value = type === putType && key !== undefined ? readSlice(reader) : undefined
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
  /**
   * Batches at the end of a log that cannot be read, after a run that did not end by itself: most likely writes that were
   * not acknowledged, but nobody knows.
   */
  readonly dropped: number
  /** Names of the files with damage before their end. */
  readonly files: readonly string[]
}

/**
 * What a batch comes to in which one flipped bit was put right. Of every 30,000 writes that a power cut leaves as garbage, one
 * has a sum that fits when some bit of it is turned: only the sums of its values tell that it is still nonsense.
 */
function proven({ data, state }: LogRecord): LogRecord {
  if (state !== 'mended') return { data, state }
  const operations = [...operationsOf(data)]
  const isWhole = data.length >= batchHeader && data.readUInt32LE(batchHeader - 4) === operations.length
  const isSound = operations.every(({ key, value }) => value === undefined || unseal(key, value) !== undefined)
  return { data, state: isWhole && isSound ? state : 'damaged' }
}

const prefixes = /![a-z-]{1,32}!/g
/** A commit entry names the record that it is of. */
const entryOf = /\["[^"]{1,2}",\d{1,15},"([^"]{1,255})"\]/g

/** Keys that can be made out in a batch of which no length can be trusted. Full keys. */
function* keysIn(batch: Buffer): Generator<string> {
  const text = batch.toString('latin1')
  for (const { index } of text.matchAll(prefixes)) {
    const length = batch[index - 1] ?? 0
    const key = batch.subarray(index, index + length).toString('utf8')
    if (length < 0x80 && /^\P{C}+$/u.test(key)) yield key
  }
  for (const [, key = ''] of text.matchAll(entryOf)) yield tables.records.prefix + key
}

function take(record: LogRecord, latest: Map<string, Operation | undefined>): void {
  if (record.state === 'damaged') for (const key of keysIn(record.data)) latest.set(key, undefined)
  else for (const operation of operationsOf(record.data)) latest.set(operation.key, operation)
}

/** The records of a log without those at its end that nobody can read, and how many these are. */
function withoutTail(records: readonly LogRecord[]): { records: readonly LogRecord[]; dropped: number } {
  const last = records.findLastIndex(({ state }) => state !== 'damaged')
  return { records: records.slice(0, last + 1), dropped: records.length - last - 1 }
}

/**
 * Reads the log files of a database that is not open.
 * @param afterCut the run before did not end by itself, perhaps by a power cut
 * @returns undefined when all is sound; a write that was cut off at the end of a file, as a power cut leaves it, is sound
 */
export async function inspectLogs(path: string, afterCut: boolean): Promise<Salvage | undefined> {
  const names = (await readdir(path)).filter((name) => /^\d+\.log$/.test(name))
  names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
  const latest = new Map<string, Operation | undefined>()
  const files = new Set<string>()
  let batches = 0
  let dropped = 0
  for (const name of names) {
    const whole = [...readLog(await readFile(join(path, name)))].map(proven)
    // LevelDB goes on to a new log without a sync of the old one: a power cut tears both.
    const kept = afterCut ? withoutTail(whole) : { records: whole, dropped: 0 }
    dropped += kept.dropped
    for (const record of kept.records) {
      if (record.state !== 'sound') files.add(name)
      if (record.state === 'damaged') batches += 1
      take(record, latest)
    }
  }
  if (files.size === 0 && dropped === 0) return undefined
  const operations: Operation[] = []
  const lost: string[] = []
  for (const [key, operation] of latest) {
    if (operation === undefined) lost.push(key)
    else operations.push(operation)
  }
  return { operations, lost, batches, dropped, files: [...files] }
}
