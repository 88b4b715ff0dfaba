import { randomUUID } from 'node:crypto'
import { access, constants, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** How a file is put in place. */
export interface WriteOptions {
  /** Permission bits; 0600 unless told otherwise. */
  readonly mode?: number
  /** False refuses when a file is there already. */
  readonly overwrite: boolean
}

/**
 * Writes a file whole or not at all: temporary file beside it, fsync, rename, fsync of the directory. Missing
 * directories are made with mode 0700.
 * @throws Error that names the path when it exists and may not be overwritten
 */
export async function writeFileAtomically(path: string, text: string, options: WriteOptions): Promise<void> {
  const directory = dirname(path)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const temporary = `${path}.${randomUUID()}.tmp`
  try {
    await writeSynced(temporary, text, options.mode ?? 0o600)
    await (options.overwrite ? rename(temporary, path) : place(temporary, path))
  } finally {
    await rm(temporary, { force: true })
  }
  await syncDirectory(directory)
}

async function writeSynced(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    // The mode of open is cut by the umask, and is only a wish on some file systems.
    await file.chmod(mode)
    await file.writeFile(text, 'utf8')
    await file.sync()
  } finally {
    await file.close()
  }
}

/** A link, unlike a rename, fails when the name is taken. */
async function place(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
  } catch (cause) {
    if (await exists(path)) throw new Error(`${path} exists already and is not overwritten`, { cause })
    // FAT, as on the boot partition of most boards, has no links.
    await rename(temporary, path)
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
