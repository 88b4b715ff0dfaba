import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { AtSign } from '../core/at-sign.ts'
import { syncFolder } from '../store/snapshot.ts'
import { ExitError, type Io } from './io.ts'

/** Where a backup goes: standard output, one file, or a folder in which it names itself. */
export type Destination =
  | { readonly kind: 'output' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string; readonly naming: Naming; readonly keep: number | undefined }

/** Names of backups in a folder: `<start>20261121T150000Z<ending>`, which sorts by time and suits every file system. */
interface Naming {
  readonly start: string
  readonly time: number
  readonly ending: string
}

const stampOf = (time: number): string => new Date(time).toISOString().replaceAll(/[-:]|\.\d+/g, '')

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/**
 * Judges where a backup may go.
 * @param to a file, a folder, `-` or undefined for standard output
 * @throws ExitError when standard output is a terminal, or when something is there already
 */
export async function destinationOf(
  to: string | undefined,
  options: { atSign: AtSign; time: number; ending: string; force: boolean; keep: number | undefined },
  io: Io,
): Promise<Destination> {
  const { atSign, time, ending, force, keep } = options
  if (to !== undefined && to !== '-' && (await isFolder(to))) {
    return { kind: 'folder', path: resolve(to), naming: { start: `${atSign}-`, time, ending }, keep }
  }
  if (keep !== undefined) throw new ExitError(2, '--keep needs a folder that is there, to write into')
  if (to === undefined || to === '-') {
    if (!io.isTerminal) return { kind: 'output' }
    throw new ExitError(2, 'a backup is no text for a terminal: name a file or a folder, or write `> file`')
  }
  const path = resolve(to)
  if (force || !(await isThere(path))) return { kind: 'file', path }
  throw new ExitError(1, `${path} is there already and is not overwritten: --force replaces it`)
}

async function writeFile(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      for await (const chunk of chunks) await file.writeFile(chunk)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** Removes all but the newest backups of one atSign from a folder. @returns how many went */
async function prune(folder: string, { start, ending }: Naming, keep: number): Promise<number> {
  const names = (await readdir(folder)).filter((name) => {
    const middle = name.slice(start.length, -ending.length)
    return name.startsWith(start) && name.endsWith(ending) && /^\d{8}T\d{6}Z$/.test(middle)
  })
  const old = names.sort().slice(0, -keep)
  for (const name of old) await rm(join(folder, name))
  return old.length
}

/**
 * Writes a backup, a file whole or not at all.
 * @returns where it is, undefined for standard output, and how many older ones went
 */
export async function writeBackup(
  destination: Destination,
  chunks: AsyncIterable<Uint8Array>,
  { streams }: Io,
): Promise<{ path: string | undefined; removed: number }> {
  if (destination.kind === 'output') {
    for await (const chunk of chunks) await streams.write(chunk)
    return { path: undefined, removed: 0 }
  }
  if (destination.kind === 'file') {
    await writeFile(destination.path, chunks)
    return { path: destination.path, removed: 0 }
  }
  const { naming, keep } = destination
  const path = join(destination.path, `${naming.start}${stampOf(naming.time)}${naming.ending}`)
  await writeFile(path, chunks)
  return { path, removed: keep === undefined ? 0 : await prune(destination.path, naming, keep) }
}
