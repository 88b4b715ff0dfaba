import { readFileSync } from 'node:fs'
import { Level } from 'level'
import { nativeFunction } from '../core/native.ts'
import { reasonOf } from './refusal.ts'

/** `EnvPosixTestHelper::SetReadOnlyMMapLimit` of LevelDB, which classic-level has no option for. */
const limitMapped = 'void _ZN7leveldb18EnvPosixTestHelper20SetReadOnlyMMapLimitEi(int)'

/** The binary of classic-level that this process has loaded. */
function binaryPath(): string {
  const path = / (\/.*\/classic-level[^/]*\.node)$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[1]
  if (path === undefined) throw new Error('the binary of classic-level was not found')
  return path
}

/**
 * Has LevelDB read its tables instead of mapping them into memory: a sector that the card cannot read any more ends a
 * process that has it mapped (SIGBUS), where a read gets an error; and the memory of a large store looks like that of a
 * small one. For the program alone, once, before any database is opened: LevelDB takes the limit once in a process, whatever
 * threads it has, and ends the process when it comes later.
 * @returns why it maps them all the same
 */
export async function readTables(): Promise<string | undefined> {
  try {
    const limit = await nativeFunction(binaryPath(), limitMapped)
    limit(0)
    return undefined
  } catch (cause) {
    return reasonOf(cause)
  }
}

export { Level }
