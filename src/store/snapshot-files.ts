import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../core/log.ts'
import { reasonOf, StoreRefusal } from './refusal.ts'
import { type Restored, type RestoreTarget, restoreSnapshot, syncFolder } from './snapshot.ts'
import { readSnapshot, type SnapshotHeader } from './snapshot-format.ts'

// Snapshots lie in one folder, numbered: a board without battery clock cannot be trusted to name them by time.

const fileName = /^(\d{6,15})\.snapshot$/
const unfinished = '.snapshot.tmp'

/** Snapshot files of a folder, the newest first; none when there is no folder. */
export async function listSnapshots(folder: string): Promise<{ number: number; path: string }[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return names
    .flatMap((name) => {
      const match = fileName.exec(name)
      return match === null ? [] : [{ number: Number(match[1]), path: join(folder, name) }]
    })
    .sort((one, other) => other.number - one.number)
}

async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(unfinished)) await rm(join(folder, name), { force: true })
  }
}

async function writeSynced(path: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  const file = await open(path, 'wx', 0o600)
  try {
    let bytes = 0
    for await (const chunk of chunks) {
      await file.writeFile(chunk)
      bytes += chunk.byteLength
    }
    await file.sync()
    return bytes
  } finally {
    await file.close()
  }
}

/** The header of a snapshot file. Nothing behind it is read. @throws StoreRefusal when it is not one */
export async function snapshotHeader(path: string): Promise<SnapshotHeader> {
  const reading = await readSnapshot(createReadStream(path, { end: 4095 }))
  await reading.close()
  return reading.header
}

/** Bytes from the end of a file among which the count of damaged rows stands. */
const tailBytes = 256

/**
 * What a snapshot says of itself: that every row of the store was right, that the store held records of its owner. That
 * the file is right as well shows when it is read.
 */
async function worthOf(path: string): Promise<{ isSound: boolean; isFilled: boolean }> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(tailBytes), 0, tailBytes, Math.max(0, size - tailBytes))
    const tail = buffer.toString('latin1', 0, bytesRead)
    return { isSound: tail.includes('"damaged":0}'), isFilled: !tail.includes('"records":0,') }
  } finally {
    await file.close()
  }
}

/**
 * Removes old snapshots. Neither damage nor a store that has lost everything must push out the last one from before: the
 * latest that is sound and the latest that is not empty stay, whatever their age.
 */
async function prune(folder: string, keep: number): Promise<void> {
  let [needsSound, needsFilled] = [true, true]
  for (const [index, { path }] of (await listSnapshots(folder)).entries()) {
    const { isSound, isFilled } = await worthOf(path)
    const isNeeded = isSound && (needsSound || (needsFilled && isFilled))
    if (index >= keep && !isNeeded) await rm(path, { force: true })
    if (isSound) needsSound = false
    if (isSound && isFilled) needsFilled = false
  }
}

/**
 * Writes a snapshot under the next number: to a temporary name, synced, renamed. One writer at a time.
 * @param options `keep` so many of the newest, and one from before the store was damaged
 * @returns its path and its bytes
 */
export async function saveSnapshot(
  folder: string,
  chunks: AsyncIterable<Uint8Array>,
  options: { readonly keep: number },
): Promise<{ path: string; bytes: number }> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await removeUnfinished(folder)
  const [newest] = await listSnapshots(folder)
  const path = join(folder, `${String((newest?.number ?? 0) + 1).padStart(6, '0')}.snapshot`)
  const temporary = path.replace('.snapshot', unfinished)
  try {
    const bytes = await writeSynced(temporary, chunks)
    await rename(temporary, path)
    await syncFolder(folder)
    await prune(folder, options.keep)
    return { path, bytes }
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** A restore from the folder: what it is made of, and which newer snapshots could not be used. */
export interface RestoredNewest extends Restored {
  readonly path: string
  readonly unusable: readonly { readonly path: string; readonly reason: string }[]
}

/** Which snapshots of a folder to restore. */
export interface NewestTarget extends RestoreTarget {
  /** Only those with records of the owner; unless told `any`, those first. */
  readonly worth?: 'any' | 'filled'
}

/** Snapshots in the order in which to try them: those of a store that had lost everything come last. */
async function candidates(folder: string, worth: 'any' | 'filled'): Promise<readonly string[]> {
  const [filled, empty]: [string[], string[]] = [[], []]
  for (const { path } of await listSnapshots(folder)) {
    const isFilled = await worthOf(path).then(
      (known) => known.isFilled,
      () => true,
    )
    if (isFilled) filled.push(path)
    else empty.push(path)
  }
  return worth === 'any' ? [...filled, ...empty] : filled
}

/** The highest commit id that any snapshot of a folder knows of, -1 for none. */
async function issuedIn(folder: string): Promise<number> {
  let issued = -1
  for (const { path } of await listSnapshots(folder)) {
    const header = await snapshotHeader(path).catch(() => undefined)
    issued = Math.max(issued, header?.lastCommitId ?? -1)
  }
  return issued
}

/**
 * Makes a database of the newest snapshot that is whole and right, trying older ones in turn.
 * @param target its folder must not be there yet, or be empty: set the damaged database aside first
 * @returns undefined when no snapshot can be used; the target is then as it was
 * @throws Error when the disk does not take it
 */
export async function restoreNewest(
  folder: string,
  target: NewestTarget,
  log: Log,
): Promise<RestoredNewest | undefined> {
  const unusable: { path: string; reason: string }[] = []
  const issued = await issuedIn(folder)
  for (const path of await candidates(folder, target.worth ?? 'any')) {
    try {
      const restored = await restoreSnapshot(createReadStream(path), { ...target, issued })
      return { ...restored, path, unusable }
    } catch (error) {
      if (!(error instanceof StoreRefusal) && !isUnreadable(error)) throw error
      unusable.push({ path, reason: reasonOf(error) })
      log('warn', 'a snapshot cannot be used', { path, reason: reasonOf(error) })
    }
  }
  return undefined
}

/** A file on a broken card answers with an error of input instead of wrong bytes. */
const isUnreadable = (error: unknown): boolean =>
  error instanceof Error && 'syscall' in error && (error.syscall === 'read' || error.syscall === 'open')
