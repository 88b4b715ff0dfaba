import { readFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { Level } from 'level'
import { nativeFunction } from '../core/native.ts'
import { reasonOf } from './refusal.ts'

/** `EnvPosixTestHelper::SetReadOnlyMMapLimit` of LevelDB, which classic-level has no option for. */
const limitMapped = 'void _ZN7leveldb18EnvPosixTestHelper20SetReadOnlyMMapLimitEi(int)'

/** The binary of classic-level that this process has loaded: beside the bundle, or the only one. */
function binaryPath(): string {
  const loaded = readFileSync('/proc/self/maps', 'utf8').matchAll(/ (\/.*\/classic-level[^/]*\.node)$/gm)
  const paths = [...loaded].map(([, path = '']) => path)
  const path = paths.find((candidate) => candidate.startsWith(import.meta.dirname)) ?? paths[0]
  if (path === undefined) throw new Error('the binary of classic-level was not found')
  return path
}

/**
 * Has LevelDB read its tables instead of mapping them into memory: a sector that the card cannot read any more ends a
 * process that has it mapped (SIGBUS), where a read gets an error; and the memory of a large store looks like that of a
 * small one. LevelDB takes the limit once in a process, before it opens anything, and ends the process when it comes later.
 * @returns why it maps them all the same
 */
async function readTables(): Promise<string | undefined> {
  try {
    if (!isMainThread) throw new Error('the main thread of the process decides')
    const path = binaryPath()
    const mark = Symbol.for(`atedge reads the tables of ${path}`)
    if (mark in globalThis) return undefined
    const limit = await nativeFunction(path, limitMapped)
    Object.defineProperty(globalThis, mark, { value: true })
    limit(0)
    return undefined
  } catch (cause) {
    return reasonOf(cause)
  }
}

/** Why LevelDB maps its tables into memory; undefined when it reads them. */
export const mapsTables = await readTables()

export { Level }
