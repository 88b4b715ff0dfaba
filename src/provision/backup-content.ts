import { constants, type Dirent } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import type { ByteReader } from '../core/byte-reader.ts'
import { limits } from '../core/limits.ts'
import { BackupError } from '../crypto/backup-lock.ts'

// What is inside a backup of a device, before it is encrypted: one line of JSON (the manifest), the files it lists one after
// another, then a snapshot of the store up to the end.

/** Version of this format. */
const contentVersion = 1

/** A file of the data folder. `name` is its path below it, with `/`. */
export interface DeviceFile {
  readonly name: string
  /** Permission bits. */
  readonly mode: number
  readonly bytes: Buffer
}

/** What a device needs besides its store. */
export interface DeviceFiles {
  /** Where it kept its data: an absolute path. */
  readonly dataDir: string
  /** Text of its configuration; undefined when it has none. */
  readonly config: string | undefined
  readonly files: readonly DeviceFile[]
}

/** Folders of the data folder whose files are part of the device. The store has its own way, sockets and copies have none. */
const folders = ['.', 'keys']

async function readFileOf(path: string): Promise<{ mode: number; bytes: Buffer } | undefined> {
  // Without waiting for a writer, should it be a pipe.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const { size, mode } = await file.stat()
    if (size > limits.backupFileBytes) return undefined
    return { mode: mode & 0o777, bytes: await file.readFile() }
  } finally {
    await file.close()
  }
}

const isWanted = (entry: Dirent): boolean =>
  (entry.isFile() || entry.isSymbolicLink()) && !entry.name.startsWith('.') && !entry.name.endsWith('.tmp')

async function namesIn(dataDir: string, folder: string): Promise<string[]> {
  try {
    const entries = await readdir(join(dataDir, folder), { withFileTypes: true })
    return entries.filter(isWanted).map(({ name }) => (folder === '.' ? name : `${folder}/${name}`))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

/** The name of a path below the data folder, undefined when it lies elsewhere. */
function nameBelow(dataDir: string, path: string): string | undefined {
  const name = relative(dataDir, resolve(path)).split(sep).join('/')
  return name === '' || name.startsWith('..') ? undefined : name
}

/**
 * Reads the files of a device: those in its data folder and in `keys` below it, and those that its configuration names.
 * @param named paths that the configuration names
 * @returns the files, and the paths that are not among them: outside of the data folder, or larger than 1 MiB
 */
export async function collectFiles(
  dataDir: string,
  named: readonly string[],
): Promise<{ files: DeviceFile[]; leftOut: string[] }> {
  const below = named.map((path) => ({ path, name: nameBelow(dataDir, path) }))
  const leftOut = below.flatMap(({ path, name }) => (name === undefined ? [path] : []))
  const found = await Promise.all(folders.map((folder) => namesIn(dataDir, folder)))
  const names = new Set([...found.flat(), ...below.flatMap(({ name }) => name ?? [])])
  if (names.size > limits.backupFiles) {
    throw new Error(
      `${dataDir} holds more than ${limits.backupFiles} files besides the store: move away what is not its own`,
    )
  }
  const files: DeviceFile[] = []
  for (const name of [...names].sort()) {
    const path = join(dataDir, name)
    const content = await readFileOf(path).catch((error: NodeJS.ErrnoException) => {
      // Named by the configuration and not made yet, or a link to nowhere.
      if (error.code === 'ENOENT') return null
      throw error
    })
    if (content === undefined) leftOut.push(path)
    else if (content !== null) files.push({ name, ...content })
  }
  if (totalOf(files.map(({ bytes }) => ({ bytes: bytes.length }))) > limits.backupFilesBytes) {
    throw new Error(`the files in ${dataDir} besides the store are too many: move away what is not its own`)
  }
  return { files, leftOut }
}

/** The bytes of what is inside a backup. */
export async function* writeContent(
  { dataDir, config, files }: DeviceFiles,
  snapshot: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const configBytes = config === undefined ? undefined : Buffer.from(config)
  const manifest = {
    ...{ version: contentVersion, dataDir },
    ...(configBytes === undefined ? {} : { config: configBytes.length }),
    files: files.map(({ name, mode, bytes }) => ({ name, mode, bytes: bytes.length })),
  }
  yield Buffer.from(`${JSON.stringify(manifest)}\n`)
  if (configBytes !== undefined) yield configBytes
  for (const { bytes } of files) yield bytes
  yield* snapshot
}

const malformed = (detail: string): BackupError =>
  new BackupError('damaged', `the content of the backup is malformed: ${detail}`)

const isSize = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= limits.backupFileBytes

/** Whether a name stays below the data folder and outside of the store. Anybody can lock a backup to a public key. */
function isFileName(name: unknown): name is string {
  if (typeof name !== 'string' || name.length > 512 || /[\\\p{C}]/u.test(name)) return false
  const parts = name.split('/')
  return (
    parts.length <= 8 &&
    parts.every((part) => !/^\.{0,2}$/.test(part)) &&
    !['store', 'snapshots'].includes(parts[0] ?? '')
  )
}

const totalOf = (entries: readonly { readonly bytes: number }[]): number =>
  entries.reduce((total, { bytes }) => total + bytes, 0)

interface Manifest {
  readonly dataDir: string
  readonly config: number | undefined
  readonly files: readonly { readonly name: string; readonly mode: number; readonly bytes: number }[]
}

function parseManifest(line: string): Manifest {
  let manifest: Partial<Record<'version' | 'dataDir' | 'config' | 'files', unknown>>
  try {
    manifest = { ...(JSON.parse(line) as object) }
  } catch {
    throw malformed('its list of files cannot be read')
  }
  const { version, dataDir, config, files } = manifest
  if (Number.isInteger(version) && Number(version) > contentVersion) {
    throw new BackupError('newer', `the backup was made by a newer version of atedge (content ${version})`)
  }
  if (typeof dataDir !== 'string' || !(config === undefined || isSize(config))) throw malformed('its first members')
  if (!Array.isArray(files) || files.length > limits.backupFiles) throw malformed('its list of files')
  const entries = files.map(parseEntry)
  if (totalOf(entries) > limits.backupFilesBytes) throw malformed('its files are too large')
  return { dataDir, config, files: entries }
}

function parseEntry(entry: unknown): Manifest['files'][number] {
  const { name, mode, bytes }: Partial<Record<keyof DeviceFile, unknown>> = { ...(entry as object) }
  if (!isFileName(name)) throw malformed(`a file may not be named ${JSON.stringify(name)}`)
  if (!isSize(bytes) || !Number.isInteger(mode)) throw malformed(`the entry of ${name}`)
  return { name, mode: Number(mode) & 0o755, bytes }
}

/**
 * Reads what is inside a backup up to the snapshot, which `reader.rest()` then gives.
 * @throws BackupError `damaged` or `newer`
 */
export async function readContent(reader: ByteReader): Promise<DeviceFiles> {
  const line = (await reader.takeLine(limits.backupManifestBytes)).toString('utf8')
  const manifest = parseManifest(line)
  const take = async (size: number): Promise<Buffer> => {
    const bytes = await reader.take(size)
    if (bytes.length < size) throw malformed('it ends within a file')
    return Buffer.from(bytes)
  }
  const config = manifest.config === undefined ? undefined : (await take(manifest.config)).toString('utf8')
  const files: DeviceFile[] = []
  for (const { name, mode, bytes } of manifest.files) files.push({ name, mode, bytes: await take(bytes) })
  return { dataDir: manifest.dataDir, config, files }
}
