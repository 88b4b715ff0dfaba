import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { nativeFunction } from '../core/native.ts'

/** What is known about the memory and the work of this process, and how garbage is collected. */
export interface MemorySeams {
  /** Bytes that V8 has taken from the system, garbage, free room and buffers included. */
  heapBytes(): number
  /** Milliseconds of processor time so far. */
  processorMs(): number
  /** Collects garbage, and gives the room back to the system. */
  collect(): void
}

const lookEveryMs = 2_000
/**
 * Looks from a collection to the one that follows it. V8 shrinks its young generation only when little was made since the
 * collection before, for at least five seconds.
 */
const looksBetween = 3
/**
 * Growth since the last collection that is worth another one, by the share of the time between two looks in which the
 * process has worked at most: a little when nobody can be kept waiting, more when it has something to do.
 */
const worth = [
  { share: 0.01, growth: 1.05 },
  { share: 0.1, growth: 1.25 },
] as const

/** V8 hides its collector behind a flag; the context in which it becomes visible is thrown away. */
function collector(): () => void {
  setFlagsFromString('--expose_gc')
  return runInNewContext('gc') as () => void
}

/**
 * Has the C library give free room back: by itself it keeps what lies below anything that is still in use, some 9 MiB after
 * a burst. Other C libraries than glibc keep little.
 */
async function trimmer(): Promise<() => void> {
  try {
    const trim = await nativeFunction('libc.so.6', 'int malloc_trim(size_t)')
    return () => void trim(0)
  } catch {
    return () => {}
  }
}

/** The seams of this process. */
export async function processSeams(): Promise<MemorySeams> {
  const [collect, trim] = [collector(), await trimmer()]
  return {
    heapBytes() {
      const { heapTotal, external } = process.memoryUsage()
      return heapTotal + external
    },
    processorMs() {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1_000
    },
    collect() {
      collect()
      trim()
    },
  }
}

/**
 * Gives memory back once a burst of work is over. V8 collects when it needs room, so that a device which then has little
 * to do would keep the garbage of its busiest second for days. Collecting takes some 20 ms, and happens only when the heap
 * has grown and little else is to be done; then twice, because V8 lets go of many pages, and of its young generation, only
 * the second time.
 * @returns stops it
 */
export function giveBackMemory(clock: Clock, log: Log, seams: MemorySeams): () => void {
  let settled = 0
  /** Looks until the second collection is due. */
  let left = Number.POSITIVE_INFINITY
  let processorMs = seams.processorMs()
  let cancel: () => void

  const look = (): void => {
    const worked = seams.processorMs() - processorMs
    processorMs += worked
    const before = seams.heapBytes()
    const enough = worth.find(({ share }) => worked < share * lookEveryMs)?.growth
    left -= 1
    const hasGrown = enough !== undefined && before > enough * settled
    if (hasGrown || (enough !== undefined && left <= 0)) {
      seams.collect()
      settled = seams.heapBytes()
      left = hasGrown ? looksBetween : Number.POSITIVE_INFINITY
      log('debug', 'memory was given back', { before, after: settled })
    }
    cancel = clock.after(lookEveryMs, look)
  }

  cancel = clock.after(lookEveryMs, look)
  return () => cancel()
}
