/** `tight`: what may be dropped is; `full`: nothing grows any more, until there is room. */
export type DiskState = 'ok' | 'tight' | 'full'

/** What `status` says about the room that the store has. */
export interface DiskUse {
  /** Of the store itself. */
  readonly usedBytes: number
  /** Left to it, on its file system and within `storage.maxBytes`. */
  readonly freeBytes: number
  readonly state: DiskState
}

/** Room of a file system. */
export interface Room {
  readonly totalBytes: number
  readonly freeBytes: number
}

/** From here on a state begins. */
const begins = { tight: 0.9, full: 0.97 }
/** Below here it ends: further down, so that it does not come and go with every record. */
const ends = { tight: 0.87, full: 0.94 }

/** A large disk is not full at 97 %: with so much left there is no hurry. */
const plentyBytes = 1_073_741_824

/**
 * A small disk is full before 97 %: when LevelDB is behind and moves tables a level down, it writes up to twelve of 4 MiB
 * and what they overlap anew before it removes the old ones, and where that fails the store takes nothing at all any more.
 */
const spareBytes = { full: 100_663_296, tight: 134_217_728 }

function fillOfDisk({ totalBytes, freeBytes }: Room): number {
  if (freeBytes >= plentyBytes || totalBytes <= 0) return 0
  const share = 1 - freeBytes / totalBytes
  if (freeBytes < spareBytes.full) return Math.max(share, begins.full)
  return freeBytes < spareBytes.tight ? Math.max(share, begins.tight) : share
}

/**
 * How full it is for the store, from 0 to 1: its file system, or the bytes that it may take.
 * @param maxBytes undefined where the file system is the only bound
 */
export const fillOf = (room: Room, usedBytes: number, maxBytes: number | undefined): number =>
  Math.max(fillOfDisk(room), maxBytes === undefined ? 0 : usedBytes / maxBytes)

/** The state after one, at a fill. */
export function nextState(before: DiskState, fill: number): DiskState {
  if (fill >= begins.full || (before === 'full' && fill >= ends.full)) return 'full'
  if (fill >= begins.tight || (before !== 'ok' && fill >= ends.tight)) return 'tight'
  return 'ok'
}
