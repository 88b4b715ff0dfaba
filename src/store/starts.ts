import { readFileSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { readDurable, writeDurably } from './durable-file.ts'
import { reasonOf } from './refusal.ts'
import { isTableName, learnTables, type TableSums } from './tables.ts'

// A file beside the database says how many starts in a row ended early. No time of day stands in it: the clock of a board
// without battery says nothing.

const fileName = 'starts.json'

/** A run this long is no part of a crash loop. */
const steadyMs = 300_000
/** Starts in a row that may end early before the next one waits. */
const free = 3
/** Half of what systemd allows a service for its start. */
const longestMs = 45_000

/** How long to wait after so many starts in a row that ended early: each opening writes up to 300 KB to the flash. */
export const delayAfter = (early: number): number =>
  early < free ? 0 : Math.min(1000 * 2 ** (early - free), longestMs)

/** Follows the starts of one store. */
export interface Starts {
  /** The run before this one did not end as it should. */
  readonly early: boolean
  /** Damage may have ended it, and not the power: it ended while the machine ran on, or more than once soon after its start. */
  readonly suspect: boolean
  /** Whether the log of the database is shorter than when the run before this one ended as it should. */
  readonly isLogShort: boolean
  /** Of tables that were found sound; they are kept from run to run. */
  readonly sums: TableSums
  /** Damage was met that only a start can put right: the next one looks through everything. */
  distrust(): void
  /** The store is open, and this process holds its lock. */
  opened(): Promise<void>
  /** What this start has found is dealt with: nothing of it has to be found again. */
  settled(): Promise<void>
  /** The run ends as it should. */
  end(): Promise<void>
}

/** Another one each time that the machine starts; undefined where the kernel tells none. */
function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return undefined
  }
}

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined

/** Tables whose sums are kept, the newest: with all of them the file stays below 16 KiB. */
const mostSums = 512

function sumsIn(value: unknown): TableSums {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return new Map(entries.filter(([name, sum]) => isTableName(name) && count(sum) !== undefined))
}

const sumsOut = (sums: TableSums): Record<string, number> =>
  Object.fromEntries(
    [...sums].sort(([one], [other]) => Number.parseInt(other, 10) - Number.parseInt(one, 10)).slice(0, mostSums),
  )

/** Waits; unlike a timer of the clock this keeps the process alive. */
async function pause(clock: Clock, ms: number): Promise<void> {
  const alive = setInterval(() => {}, 60_000)
  await new Promise<void>((resolve) => {
    clock.after(ms, resolve)
  })
  clearInterval(alive)
}

/** What a database looks like when it was closed: bytes of its logs, inode of its MANIFEST. */
interface LogMark {
  readonly log: number
  readonly manifest: number
}

async function logMark(directory: string): Promise<LogMark | undefined> {
  const path = join(directory, 'level')
  try {
    let [log, manifest] = [0, 0]
    for (const name of await readdir(path)) {
      if (name.endsWith('.log')) log += (await stat(join(path, name))).size
      if (name.startsWith('MANIFEST')) manifest = (await stat(join(path, name))).ino
    }
    return { log, manifest }
  } catch {
    return undefined
  }
}

/**
 * Waits when many starts before this one ended early.
 * @param first whether this start is one of the row: false for one that another process is going to refuse by its lock, and
 * when the folder may belong to another program. Nothing is noted then before the store has proved its own.
 */
export async function beginStart(
  options: { directory: string; clock: Clock; log: Log; boot?: string | undefined },
  first: boolean,
): Promise<Starts> {
  const { directory, clock, log, boot = bootId() } = options
  const path = join(directory, fileName)
  const known = (await readDurable(path).catch(() => undefined))?.members
  const early = count(known?.['early']) ?? 0
  let noted = early + 1
  let pid: number | undefined = process.pid
  let mark: LogMark | undefined
  const sums = sumsIn(known?.['tables'])
  let distrusted = false
  let writing = Promise.resolve()
  const note = (): Promise<void> => {
    writing = writing
      .then(() => {
        const flags = { ...(distrusted && { distrusted }), ...(short && { short }) }
        const tables = sums.size > 0 && { tables: sumsOut(sums) }
        return writeDurably(path, { early: noted, ...(pid && { pid, boot }), ...flags, ...mark, ...tables })
      })
      .catch((cause: unknown) => log('warn', 'the start cannot be noted', { file: path, cause: reasonOf(cause) }))
    return writing
  }
  const found = await logMark(directory)
  // The list of tables is another file in a database that was restored or copied.
  const isSame = found !== undefined && known?.['manifest'] === found.manifest
  const isLogShort = known?.['short'] === true || (isSame && (count(known?.['log']) ?? 0) > found.log)
  // LevelDB is about to make another list: a start that is cut off leaves nothing to compare with.
  let short = isLogShort
  const wait = first ? delayAfter(early) : 0
  if (wait > 0) {
    log('warn', 'the latest starts ended early: the store waits before it opens, to spare the flash', { early, wait })
    await pause(clock, wait)
  }
  if (first) await note()
  let cancel = () => {}
  const isCut = early > 0 || known?.['pid'] !== undefined
  const isDistrusted = known?.['distrusted'] === true
  const isSameBoot = known?.['boot'] === undefined || known['boot'] === boot
  return {
    early: isCut || isDistrusted,
    suspect: isDistrusted || (isCut && (isSameBoot || early > 1)),
    isLogShort,
    sums,
    distrust() {
      if (distrusted) return
      distrusted = true
      void note()
    },
    async opened() {
      if (!first) await note()
      cancel = clock.after(steadyMs, () => {
        noted = 0
        void note()
      })
    },
    async settled() {
      if (!short) return
      short = false
      await note()
    },
    async end() {
      cancel()
      noted = 0
      pid = undefined
      mark = await logMark(directory)
      // What cannot be read now is looked at when the store opens.
      await learnTables(join(directory, 'level'), limits.verifyAtOpenBytes, sums).catch(() => undefined)
      await note()
    },
  }
}
