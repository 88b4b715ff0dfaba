import { readdir } from 'node:fs/promises'
import type { Operation } from './database.ts'

// LevelDB keeps what is in its log in a memtable as well, and begins a new log with the first batch that finds the
// memtable full (db/db_impl.cc, MakeRoomForWrite). It does not sync the old one then, and says nothing about it.

const blockBytes = 4_096
/** Larger pieces get a block of their own (util/arena.cc). */
const ownBlockBytes = blockBytes / 4
const pointerBytes = 8
/** A node of the skip list: its key and 4/3 pointers on average, and what aligns it. */
const nodeBytes = pointerBytes + (4 / 3) * pointerBytes + pointerBytes / 2
/** Of a memtable: the heights of its nodes are drawn by lot. */
const certainShare = 0.98

const varintBytes = (value: number): number => (value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4)

/** Bytes that an entry takes: key and value with their lengths, and eight bytes of number and kind. */
function entryBytes({ key, value }: Operation): number {
  const [keyBytes, valueBytes] = [Buffer.byteLength(key) + 8, value?.length ?? 0]
  return varintBytes(keyBytes) + keyBytes + varintBytes(valueBytes) + valueBytes
}

/** Tells when LevelDB is about to go on to a new log. */
export interface LogEnd {
  /** A batch was handed to LevelDB. */
  wrote(operations: readonly Operation[]): void
  /** Whether the next batch may be the first one of a new log. */
  isNear(): Promise<boolean>
  /** LevelDB was asked to empty its memtable: the next log may begin at any moment, until the returned function is called. */
  emptying(): () => void
}

/** @param memtableBytes at which LevelDB takes a new one */
export function watchLogEnd(directory: string, memtableBytes: number): LogEnd {
  let used = 0
  let blockLeft = 0
  /** Taken since the newest log was last looked up: at most so much is in one that is found to be new. */
  let sinceLook = 0
  /** Of the latest batch, which may be under way still. */
  let latest = 0
  let emptyings = 0
  let newest: number | undefined

  const allocate = (bytes: number): void => {
    if (bytes <= blockLeft) {
      blockLeft -= bytes
      return
    }
    const isOwn = bytes > ownBlockBytes
    used += (isOwn ? bytes : blockBytes) + pointerBytes
    if (!isOwn) blockLeft = blockBytes - bytes
  }

  async function newestLog(): Promise<number> {
    const logs = (await readdir(directory)).filter((name) => name.endsWith('.log'))
    return Math.max(-1, ...logs.map((name) => Number.parseInt(name, 10)))
  }

  return {
    wrote(operations) {
      const before = used
      for (const operation of operations) {
        allocate(entryBytes(operation))
        allocate(nodeBytes)
      }
      latest = used - before
      sinceLook += latest
    },
    async isNear() {
      if (emptyings > 0) return true
      if (used < certainShare * memtableBytes) {
        newest = undefined
        return false
      }
      const log = await newestLog()
      const isNew = newest !== undefined && log > newest
      newest = log
      if (isNew) {
        used = sinceLook
        blockLeft = 0
      }
      sinceLook = 0
      return !isNew
    },
    emptying() {
      emptyings += 1
      used = latest
      blockLeft = 0
      newest = undefined
      return () => {
        emptyings -= 1
      }
    },
  }
}
