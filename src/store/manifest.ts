import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readLog } from './log-file.ts'
import { hasCode } from './refusal.ts'
import { type ByteReader, readSlice, readVarint } from './varint.ts'

// A MANIFEST is a log of edits (db/version_edit.cc of google/leveldb): numbered members, among them tables that come and
// go. LevelDB takes a damaged length at its end for the end, and then deletes the tables that it does not know.

const skipped: Readonly<Record<number, (reader: ByteReader) => void>> = {
  1: readSlice,
  2: readVarint,
  3: readVarint,
  4: readVarint,
  5(reader) {
    readVarint(reader)
    readSlice(reader)
  },
  9: readVarint,
}
const removedTag = 6
const addedTag = 7

/** Members without which LevelDB does not open: number of the log, of the next file, of the last change. */
const neededTags = [2, 3, 4] as const

/** Takes one edit over into the tables, number to bytes, and its tags. @returns whether it was understood */
function apply(edit: Buffer, tables: Map<number, number>, tags: Set<number>): boolean {
  const reader = { at: 0, bytes: edit }
  while (reader.at < edit.length) {
    const tag = readVarint(reader) ?? 0
    tags.add(tag)
    if (tag === removedTag) {
      readVarint(reader)
      tables.delete(readVarint(reader) ?? -1)
    } else if (tag === addedTag) {
      readVarint(reader)
      const [number, size] = [readVarint(reader), readVarint(reader)]
      if (number === undefined || size === undefined) return false
      tables.set(number, size)
      readSlice(reader)
      readSlice(reader)
    } else if (skipped[tag] === undefined) return false
    else skipped[tag](reader)
  }
  return true
}

/** The tables of a MANIFEST, number to bytes. */
interface Listing {
  readonly tables: ReadonlyMap<number, number>
  /** Whether nothing is missing that LevelDB asks for. */
  readonly isWhole: boolean
}

/** @returns undefined when it is damaged */
function listingOf(manifest: Buffer): Listing | undefined {
  const tables = new Map<number, number>()
  const tags = new Set<number>()
  for (const { data, state } of readLog(manifest)) {
    if (state !== 'sound' || !apply(data, tables, tags)) return undefined
  }
  return { tables, isWhole: neededTags.every((tag) => tags.has(tag)) }
}

async function currentManifest(path: string): Promise<Buffer | undefined> {
  const name = (await readFile(join(path, 'CURRENT'), 'utf8').catch(() => '')).trim()
  // Whatever else it says, LevelDB refuses by itself.
  if (!/^MANIFEST-\d+$/.test(name)) return undefined
  return readFile(join(path, name)).catch(() => undefined)
}

/** The end of every table (doc/table_format.md of google/leveldb). */
const footerBytes = 48
const magic = 0xdb47_7524_8b80_fb57n

async function isWhole(path: string, bytes: number): Promise<boolean> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    if (size < footerBytes || size !== bytes) return false
    const end = Buffer.alloc(8)
    await file.read(end, 0, 8, size - 8)
    return end.readBigUInt64LE() === magic
  } finally {
    await file.close()
  }
}

async function tableFlaw(path: string, number: number, bytes: number): Promise<string | undefined> {
  const stem = String(number).padStart(6, '0')
  for (const name of [`${stem}.ldb`, `${stem}.sst`]) {
    try {
      return (await isWhole(join(path, name), bytes)) ? undefined : `its table ${name} is not whole`
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }
  return `its table ${stem}.ldb is missing`
}

/**
 * What is wrong with the files of a database that is not open, and what LevelDB would find out too late: an edit in the
 * MANIFEST that is cut short by damage, or a table of another size than it had. Tables that the MANIFEST does not name
 * are left from a power cut, and LevelDB removes them.
 * @returns undefined when nothing is wrong, as far as a look at a few bytes tells, or when LevelDB itself will say it
 */
export async function flawOf(path: string): Promise<string | undefined> {
  const manifest = await currentManifest(path)
  if (manifest === undefined) return undefined
  const listing = listingOf(manifest)
  if (listing === undefined) return 'its MANIFEST is damaged'
  for (const [number, bytes] of listing.tables) {
    const flaw = await tableFlaw(path, number, bytes)
    if (flaw !== undefined) return flaw
  }
  return undefined
}

/**
 * Numbers of the tables that belong to a database: the others are left from a compaction that was cut short, or are not
 * removed yet.
 * @returns undefined when its MANIFEST does not say
 */
export async function namedTables(path: string): Promise<ReadonlySet<number> | undefined> {
  const manifest = await currentManifest(path)
  const listing = manifest === undefined ? undefined : listingOf(manifest)
  return listing?.isWhole === true ? new Set(listing.tables.keys()) : undefined
}
