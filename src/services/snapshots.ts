import { mkdir, statfs } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Store } from '../core/storage.ts'
import { listSnapshots, saveSnapshot, snapshotHeader } from '../store/snapshot-files.ts'
import type { SnapshotHeader } from '../store/snapshot-format.ts'

/** When and where snapshots are made. */
export interface SnapshotSettings {
  /** Folder, made with mode 0700 when it is missing. */
  readonly folder: string
  /** Milliseconds from one to the next. */
  readonly intervalMs: number
  /** How many are kept. */
  readonly keep: number
}

/** What `atedge status` tells. Times are ISO texts by the device's clock. */
export interface SnapshotStatus {
  readonly kept: number
  readonly newest?: { readonly time: string; readonly lastCommitId: number }
  /** Why the latest attempt failed. */
  readonly problem?: string
}

/** Snapshots of one store, by schedule. */
export interface Snapshots {
  status(): Promise<SnapshotStatus>
  /** Stops the one under way and removes what it wrote. */
  close(): Promise<void>
}

/** A device that starts again and again must not write a snapshot each time. */
const soonestMs = 300_000
/** A failed one is tried again after this time at most. */
const retryMs = 3_600_000
/** Part of the interval by which each one is early or late, so that devices of one site do not work in step. */
const jitter = 0.05
/** Part of the disk that a snapshot must leave free. */
const reserve = 0.1

/** What snapshots are made of. */
export type SnapshotSource = Pick<Store, 'snapshot' | 'changes' | 'size'>

interface Options extends SnapshotSettings {
  readonly store: SnapshotSource
  readonly clock: Clock
  readonly log: Log
  /** A number from 0 to 1; injected by tests. */
  readonly random?: () => number
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

async function* until(signal: AbortSignal, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    signal.throwIfAborted()
    yield chunk
  }
}

/** @throws Error when the disk would be nearly full afterwards */
async function assertRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(folder)
  if (bavail * bsize - bytes >= blocks * bsize * reserve) return
  const needed = `${Math.ceil(bytes / 1_048_576)} MiB and ${reserve * 100} % of the disk have to be free`
  throw new Error(`there is no room for a snapshot: ${needed}`)
}

/** The newest file whose header can be read. Whether all of it is right shows when it is restored. */
async function newestIn(folder: string): Promise<SnapshotHeader | undefined> {
  for (const { path } of await listSnapshots(folder)) {
    const header = await snapshotHeader(path).catch(() => undefined)
    if (header !== undefined) return header
  }
  return undefined
}

/**
 * Makes snapshots of a store: the first one an interval after the newest in the folder, but not before the device has run
 * for five minutes; then one an interval, unless nothing was written meanwhile.
 */
export async function startSnapshots(options: Options): Promise<Snapshots> {
  const { store, folder, intervalMs, keep, clock, log, random = Math.random } = options
  const stopped = new AbortController()
  let problem: string | undefined
  /** Of the store, at the latest snapshot of this run. */
  let changes = 0
  let cancel = (): void => {}
  let working: Promise<void> = Promise.resolve()

  const sleep = (ms: number): void => {
    const spread = 1 + jitter * (2 * random() - 1)
    cancel = clock.after(ms * spread, () => {
      working = round()
    })
  }

  async function make(): Promise<void> {
    const before = store.changes()
    if (before === changes) return
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await assertRoom(folder, await store.size())
    const { path, bytes } = await saveSnapshot(folder, until(stopped.signal, store.snapshot()), { keep })
    changes = before
    log('info', 'a snapshot of the store was made', { path, bytes })
  }

  async function round(): Promise<void> {
    try {
      await make()
      problem = undefined
      sleep(intervalMs)
    } catch (error) {
      if (stopped.signal.aborted) return
      problem = reasonOf(error)
      log('error', 'a snapshot of the store could not be made and is tried again', { reason: problem })
      sleep(Math.min(intervalMs, retryMs))
    }
  }

  async function begin(): Promise<void> {
    const newest = await newestIn(folder).catch(() => undefined)
    const due = newest === undefined ? 0 : newest.time + intervalMs - clock.now()
    // A snapshot from the future says that a clock is wrong, and nothing about when the next one is due.
    sleep(Math.max(Math.min(due, intervalMs), Math.min(soonestMs, intervalMs)))
  }

  await begin()
  return {
    async status() {
      const [files, newest] = await Promise.all([listSnapshots(folder), newestIn(folder)])
      return {
        kept: files.length,
        ...(newest === undefined
          ? {}
          : { newest: { time: new Date(newest.time).toISOString(), lastCommitId: newest.lastCommitId } }),
        ...(problem === undefined ? {} : { problem }),
      }
    },
    async close() {
      stopped.abort(new Error('the device stops'))
      cancel()
      await working
    },
  }
}
