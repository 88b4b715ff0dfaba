import { chown, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { AtSign } from '../core/at-sign.ts'
import { systemClock } from '../core/clock.ts'
import { isInUse } from '../store/in-use.ts'
import { formatVersion } from '../store/layout.ts'
import { StoreRefusal } from '../store/refusal.ts'
import { type Restored, restoreSnapshot, syncFolder } from '../store/snapshot.ts'
import { openStore } from '../store/store.ts'
import type { DeviceFile } from './backup-content.ts'

// A restore is built beside its place, verified to the last byte, opened once, and then renamed. Before the rename nothing
// that was there is touched, and what a killed attempt has left is thrown away by the next one.

/** Where a restore goes. */
export interface RestoreTarget {
  /** The data folder for a whole device, its `store` folder for a snapshot alone. */
  readonly folder: string
  readonly atSign: AtSign
  /** Sets aside what is there instead of refusing. */
  readonly force: boolean
}

/** What was put in place. */
export interface PlacedRestore extends Restored {
  /** Highest commit id after the restore: the next change gets the one behind it. */
  readonly continuesFrom: number
  /** Where the former content of the folder is now. */
  readonly setAside?: string
}

interface Place {
  /** The folder, links resolved. */
  readonly path: string
  readonly isEmpty: boolean
  /** Who owns the folder that is there. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
}

const stagingOf = ({ path }: Place): string => `${path}.restoring`
const asideOf = ({ path }: Place): string => `${path}.before-restore`

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/**
 * Puts back what a restore had set aside when it was killed at the very moment between its two renames: a device that
 * starts without its data would begin anew.
 * @returns whether it had to
 */
export async function undoInterrupted(folder: string): Promise<boolean> {
  const path = resolve(folder)
  const place = { path, isEmpty: false, owner: undefined }
  if (await exists(path)) return false
  if (!(await exists(asideOf(place))) || !(await exists(stagingOf(place)))) return false
  await rename(asideOf(place), path)
  await syncFolder(dirname(path))
  return true
}

async function lookAt(folder: string): Promise<Place> {
  const asked = resolve(folder)
  await undoInterrupted(asked)
  if (!(await exists(asked))) {
    await mkdir(dirname(asked), { recursive: true, mode: 0o755 })
    return {
      path: join(await realpath(dirname(asked)), basename(asked)),
      isEmpty: true,
      owner: undefined,
    }
  }
  const path = await realpath(asked)
  const { uid, gid, dev } = await stat(path)
  if ((await stat(dirname(path))).dev !== dev) {
    throw new Error(
      `${path} is a file system of its own and cannot be replaced: restore into a folder inside it (--data)`,
    )
  }
  const isEmpty = (await readdir(path)).length === 0
  return { path, isEmpty, owner: { uid, gid } }
}

/**
 * Judges the place of a restore.
 * @param store folder of the LevelDB that may be running there
 * @throws Error that says what is in the way
 */
async function prepare({ folder, force }: RestoreTarget, store: (path: string) => string): Promise<Place> {
  const place = await lookAt(folder)
  if (place.isEmpty) return place
  if (!force) {
    throw new Error(`${place.path} is not empty, so nothing was restored: --force sets what is there aside`)
  }
  if (await exists(asideOf(place))) {
    throw new Error(`${asideOf(place)} is still there from an earlier restore: remove it first`)
  }
  if (await isInUse(store(place.path))) {
    throw new StoreRefusal('locked', `a device is running on ${place.path}: stop it first`)
  }
  return place
}

async function writeFile(path: string, { mode, bytes }: DeviceFile): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file = await open(path, 'wx', mode)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Gives everything to the owner of the folder that was there: `sudo atedge restore` must not lock out the device. */
async function giveTo(path: string, { owner }: Place): Promise<void> {
  if (owner === undefined || process.getuid?.() !== 0) return
  for (const entry of await readdir(path, { recursive: true })) await chown(join(path, entry), owner.uid, owner.gid)
  await chown(path, owner.uid, owner.gid)
}

async function syncFolders(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (entry.isDirectory()) await syncFolder(join(entry.parentPath, entry.name))
  }
  await syncFolder(path)
}

/** Opens and closes what was built: it has to be a store that starts. @returns its highest commit id */
async function proveStore(directory: string, atSign: AtSign): Promise<number> {
  const store = await openStore({ directory, atSign, clock: systemClock })
  try {
    return store.commits.lastId()
  } finally {
    await store.close()
  }
}

async function swap(place: Place): Promise<string | undefined> {
  if (place.isEmpty) {
    await rename(stagingOf(place), place.path)
    return undefined
  }
  await rename(place.path, asideOf(place))
  try {
    await rename(stagingOf(place), place.path)
  } catch (error) {
    await rename(asideOf(place), place.path)
    throw error
  }
  return asideOf(place)
}

async function build(
  target: RestoreTarget,
  place: Place,
  storeBelow: string,
  parts: { files: readonly DeviceFile[]; snapshot: AsyncIterable<Uint8Array> },
): Promise<PlacedRestore> {
  const staging = stagingOf(place)
  const { atSign } = target
  await rm(staging, { recursive: true, force: true })
  await mkdir(staging, { mode: 0o700 })
  try {
    for (const file of parts.files) await writeFile(join(staging, file.name), file)
    const store = join(staging, storeBelow)
    await mkdir(store, { recursive: true, mode: 0o700 })
    const restored = await restoreSnapshot(parts.snapshot, {
      target: join(store, 'level'),
      atSign,
      format: formatVersion,
    })
    const continuesFrom = await proveStore(store, atSign)
    await giveTo(staging, place)
    await syncFolders(staging)
    const setAside = await swap(place)
    await syncFolder(dirname(place.path))
    return { ...restored, continuesFrom, ...(setAside === undefined ? {} : { setAside }) }
  } catch (error) {
    await rm(staging, { recursive: true, force: true })
    throw error
  }
}

/**
 * Puts a whole device in place: its files and its store.
 * @param open gives files and snapshot; called once the place was found fit
 * @throws Error that says what is in the way or which part of the backup is wrong; the place is then as it was
 */
export async function restoreDevice(
  target: RestoreTarget,
  parts: { files: readonly DeviceFile[]; snapshot: AsyncIterable<Uint8Array> },
): Promise<PlacedRestore> {
  const place = await prepare(target, (path) => join(path, 'store', 'level'))
  return build(target, place, 'store', parts)
}

/**
 * Puts a store in place, of a snapshot alone; the rest of the device stays as it is.
 * @throws as `restoreDevice`
 */
export async function restoreStore(target: RestoreTarget, snapshot: AsyncIterable<Uint8Array>): Promise<PlacedRestore> {
  const place = await prepare(target, (path) => join(path, 'level'))
  return build(target, place, '.', { files: [], snapshot })
}
