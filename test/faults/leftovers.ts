import { execFile } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

// A run that is killed leaves what it has made, in memory above all. So everything has the number of its process in its
// name, and the next run removes what belongs to none.

/** Where files need no disk. */
export const memory = '/dev/shm'

/** Where programs are bundled: inside the project, where packages are found. */
export const bundles = fileURLToPath(new URL('../../node_modules/.cache/atedge-faults', import.meta.url))

/** Processes of another container, which may share the folders, are numbered apart. */
function numbering(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}

/** How what a process makes begins. */
export const markOf = (pid: number): string => `atedge-faults-${numbering()}-${pid}-`

/** A number that was given anew keeps what it names until the next run. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Removes from some folders what processes have made that are gone. What cannot be removed stays. */
export async function removeLeftovers(parents: readonly string[]): Promise<void> {
  for (const parent of parents) {
    for (const name of await readdir(parent).catch(() => [])) {
      const pid = Number(/^atedge-faults-\d+-(\d+)-/.exec(name)?.[1])
      if (!(pid > 0) || !name.startsWith(markOf(pid)) || isAlive(pid)) continue
      const path = join(parent, name)
      // The small disk of one of the tests.
      await promisify(execFile)('umount', ['--lazy', join(path, 'disk')]).catch(() => undefined)
      await rm(path, { recursive: true, force: true }).catch(() => undefined)
    }
  }
}

/** Run by vitest before anything else. */
export const setup = (): Promise<void> => removeLeftovers([memory, tmpdir(), bundles])
