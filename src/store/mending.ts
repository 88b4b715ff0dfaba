import { access, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readDurable, writeDurably } from './durable-file.ts'
import { reasonOf } from './refusal.ts'
import { asideIn, dropAside, duplicateAll, setAside, syncFiles } from './set-aside.ts'
import { syncFolder } from './snapshot.ts'

// Putting a database right takes many steps, and after some of them it looks sound though a part of it is still to be
// written again. A file beside it says that this is under way and where it lies as it was: a start that was cut off in the
// middle is done anew, from there.

const fileName = 'mending.json'

/** The database could not be kept as it was, so nothing in it may be changed. */
export class Unkept extends Error {}

/** The mending of one database. Nothing of it may be told to anybody before it has settled. */
export interface Mending {
  /** A start before this one was cut off in the middle of it. */
  readonly isInterrupted: boolean
  /** Whether the run before the first attempt did not end by itself. */
  readonly afterCut: boolean
  /** Where the database lies as it was found: itself, unless there is a copy. */
  source(): string
  /** Keeps the database as it is, once. To be called before anything in it is changed. @throws Unkept */
  begin(): Promise<string>
  /** Brings the database back to what it was when an earlier start began, should that have been cut off. @throws Unkept */
  goBack(): Promise<void>
  /** Drops copies of earlier damage, to make room. @returns how many */
  dropOthers(): Promise<number>
  /** The database is as it is going to be: puts it on flash and forgets that anything was under way. */
  settle(): Promise<void>
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** Whether a start was cut off while it put the database of a store right. */
export const isMending = (directory: string): Promise<boolean> => exists(join(directory, fileName))

const unkept = (cause: unknown): Unkept => new Unkept(reasonOf(cause), { cause })

/**
 * @param parts `directory` of the store; `path` of its database; `changed` is told after every step that changes it
 */
export async function openMending(parts: {
  readonly directory: string
  readonly path: string
  readonly afterCut: boolean
  readonly changed: (what: string) => Promise<void>
}): Promise<Mending> {
  const { directory, path, changed } = parts
  const note = join(directory, fileName)
  const known = await readDurable(note)
  const afterCut = known === undefined ? parts.afterCut : known.members?.['afterCut'] !== false
  const named = known?.members?.['copy']
  let copy = typeof named === 'string' && /^\d+$/.test(named) ? named : undefined
  const place = (): string => (copy === undefined ? path : join(asideIn(directory), copy))
  if (!(await exists(place()))) copy = undefined
  let isNoted = known !== undefined

  async function keep(): Promise<void> {
    if (copy !== undefined) return
    const next = await setAside(directory, path)
    await changed('the copy was made')
    await writeDurably(note, { copy: next, afterCut })
    copy = next
    isNoted = true
    await changed('the note was written')
  }

  async function bringBack(): Promise<void> {
    if (copy === undefined) return
    const back = `${path}.back`
    await duplicateAll(place(), back)
    await changed('the copy was made ready')
    await rm(path, { recursive: true, force: true })
    await changed('the database was removed for its copy')
    await rename(back, path)
    await syncFolder(directory)
    await changed('the copy took the place of the database')
  }

  return {
    isInterrupted: known !== undefined,
    afterCut,
    source: place,
    async begin() {
      await keep().catch((cause) => {
        throw unkept(cause)
      })
      return place()
    },
    goBack: () =>
      bringBack().catch((cause) => {
        throw unkept(cause)
      }),
    dropOthers: () => dropAside(directory, copy === undefined ? 0 : 1),
    async settle() {
      if (!isNoted) return
      await syncFiles(path)
      await changed('everything is on flash')
      await rm(note, { force: true })
      await syncFolder(directory)
      isNoted = false
      await changed('the note was removed')
    },
  }
}
