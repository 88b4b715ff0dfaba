import { statfs } from 'node:fs/promises'
import { type Clock, elapsed } from '../core/clock.ts'
import { type DiskState, type DiskUse, fillOf, nextState, type Room } from '../core/disk.ts'
import { AtError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { reasonOf } from './refusal.ts'

/** Keeps the store within the room that it has. */
export interface DiskBudget {
  use(): DiskUse
  /** Measures, and makes room where it is tight. */
  check(): Promise<void>
  /** So many bytes went to the database; a good part of what was free has to be measured again. */
  wrote(bytes: number): void
  /** @throws AtError AT0002 while nothing may grow */
  assertRoom(): void
}

/** Room of the file system that a folder lies on, as `df` counts it: blocks that only root may take are not free. */
export async function roomOf(directory: string): Promise<Room> {
  const { blocks, bfree, bavail, bsize } = await statfs(directory)
  return { totalBytes: (blocks - bfree + bavail) * bsize, freeBytes: bavail * bsize }
}

/**
 * Making room writes tables anew, and wears the disk: no more often than this, unless it gets worse. On a disk that others
 * keep tight it is of no use, and done ever more seldom.
 */
const againMs = 600_000
const seldomMs = 86_400_000

/** A measurement holds for this part of what is free, within bounds. */
const part = 20
const leastBytes = 65_536
const mostBytes = 67_108_864

/** @param parts `size`: bytes of the store; `steps` make room one after another, until there is enough */
export function createDiskBudget(parts: {
  readonly room: () => Promise<Room>
  readonly size: () => Promise<number>
  readonly maxBytes: number | undefined
  readonly steps: readonly { readonly what: string; run(): Promise<number> }[]
  /** Drops what nobody waits for, before all else: it costs no writing. */
  readonly spare: { readonly what: string; run(): Promise<number> }
  /** Gives back the room of what was removed before. */
  readonly compact: () => Promise<void>
  readonly clock: Clock
  readonly log: Log
}): DiskBudget {
  const { room, size, maxBytes, steps, spare, compact, clock, log } = parts
  let use: DiskUse = { usedBytes: 0, freeBytes: Number.POSITIVE_INFINITY, state: 'ok' }
  let written = 0
  let madeRoomAt = Number.NEGATIVE_INFINITY
  let pauseMs = againMs
  let hasChanged = true
  let making: Promise<void> | undefined

  async function measure(): Promise<DiskState> {
    written = 0
    const [{ totalBytes, freeBytes }, usedBytes] = await Promise.all([room(), size()])
    const state = nextState(use.state, fillOf({ totalBytes, freeBytes }, usedBytes, maxBytes))
    const left = maxBytes === undefined ? freeBytes : Math.min(freeBytes, Math.max(maxBytes - usedBytes, 0))
    if (state !== use.state) tell(state, left)
    use = { usedBytes, freeBytes: left, state }
    return state
  }

  function tell(state: DiskState, freeBytes: number): void {
    if (state === 'full') log('error', 'the disk is full; changes are refused until there is room', { freeBytes })
    else if (state === 'tight') log('warn', 'the disk is nearly full; what may be dropped is dropped', { freeBytes })
    else log('info', 'the disk has room again', { freeBytes })
  }

  async function makeRoom(): Promise<void> {
    const spared = await spare.run()
    if (spared > 0) {
      log('info', `dropped to make room: ${spare.what}`, { dropped: spared })
      if ((await measure()) === 'ok') return
    }
    await compact()
    if ((await measure()) === 'ok') return
    for (const { what, run } of steps) {
      const dropped = await run()
      if (dropped === 0) continue
      log('info', `dropped to make room: ${what}`, { dropped })
      await compact()
      if ((await measure()) === 'ok') return
    }
  }

  /** Whether more room can be expected by now. */
  const isDue = (state: DiskState): boolean =>
    hasChanged && elapsed(clock) - madeRoomAt >= (state === 'full' ? againMs : pauseMs)

  async function makeRoomOnce(worse: boolean): Promise<void> {
    madeRoomAt = elapsed(clock)
    hasChanged = false
    try {
      await makeRoom()
    } finally {
      making = undefined
      pauseMs = worse || use.state === 'ok' ? againMs : Math.min(pauseMs * 2, seldomMs)
    }
  }

  async function look(): Promise<void> {
    const before = use.state
    const state = await measure()
    const worse = state !== before && state !== 'ok' && before !== 'full'
    // Measuring goes on while room is made: writers do not wait for it.
    if (making === undefined && state !== 'ok' && (worse || isDue(state))) making = makeRoomOnce(worse)
    await making
  }

  const check = (): Promise<void> =>
    look().catch((error) => {
      log('warn', 'the room on the disk could not be measured or made', { cause: reasonOf(error) })
    })

  return {
    use: () => use,
    check,
    wrote(bytes) {
      written += bytes
      hasChanged = true
      if (written >= Math.min(Math.max(use.freeBytes / part, leastBytes), mostBytes)) void check()
    },
    assertRoom() {
      // Tables are written anew before the old ones go: on a small disk that takes what is left.
      const needsAll = making !== undefined && use.freeBytes < use.usedBytes
      if (use.state !== 'full' && !needsAll) return
      const sentence = 'the disk is full: changes are refused until there is room; reads and deletes go on'
      throw new AtError('AT0002', sentence, { closes: false })
    },
  }
}
