import { AtError } from '../core/errors.ts'
import type { Cell, Committed } from './committed.ts'
import { type Table, tables } from './layout.ts'

/** One change while it is being made. */
export interface Draft {
  /** Sees everything staged before. @throws AtError AT0002 when the row is damaged */
  get<Row>(table: Table<Row>, key: string): Row | undefined
  /** The same, with damage (reported) counted as absence: the row is about to be replaced. */
  tryGet<Row>(table: Table<Row>, key: string): Row | undefined
  /** Whether a change of the row was staged before that is not on flash yet. */
  isStaged(table: Table<unknown>, key: string): boolean
  put<Row>(table: Table<Row>, key: string, row: Row): void
  remove(table: Table<unknown>, key: string): void
  /** The change must be on flash before anybody hears of it, whatever its options say. */
  mustSync(): void
  /** Whether the change may be acknowledged an interval before it is on flash. */
  readonly relaxed: boolean
  onCommit(task: () => void): void
}

/** What a change has staged, by `cellName`. */
export type Cells = ReadonlyMap<string, Cell>

/** What has become of a draft. */
export interface Drafted {
  readonly cells: Cells
  /** Empty is undefined. */
  readonly tasks: readonly (() => void)[] | undefined
  readonly mustSync: boolean
}

/** A draft, and how it ends. */
export interface Drafting {
  readonly draft: Draft
  /** From here on nothing can be added, and whoever still holds the draft holds nothing of the change. */
  end(): Drafted
}

/**
 * What a row is called among those that are staged: by its full key if it is written. Half of all that is looked up are
 * numbers in memory: their own keys are there already, and cannot be taken for full ones.
 */
const cellName = (table: Table<unknown>, key: string): string => (table === tables.memory ? key : table.prefix + key)

const none: ReadonlyMap<string, Cell> = new Map()

/** @param staged rows of changes that were staged before and are not on flash yet, by `cellName` */
export function createDraft(
  committed: Committed,
  staged: (name: string) => Cell | undefined,
  relaxed: boolean,
): Drafting {
  let cells: Map<string, Cell> | undefined = new Map()
  let tasks: (() => void)[] | undefined
  let mustSync = false

  function set(table: Table<unknown>, key: string, row: unknown): void {
    if (cells === undefined) throw new AtError('AT0010', 'the change has ended')
    cells.set(cellName(table, key), { table, key, row })
  }

  function find(table: Table<unknown>, key: string): Cell | undefined {
    const name = cellName(table, key)
    return cells?.get(name) ?? staged(name)
  }

  const draft: Draft = {
    get<Row>(table: Table<Row>, key: string) {
      const cell = find(table, key)
      return cell === undefined ? committed.get(table, key) : (cell.row as Row | undefined)
    },
    tryGet<Row>(table: Table<Row>, key: string) {
      const cell = find(table, key)
      return cell === undefined ? committed.tryGet(table, key) : (cell.row as Row | undefined)
    },
    isStaged: (table, key) => find(table, key) !== undefined,
    put: set,
    remove: (table, key) => set(table, key, undefined),
    mustSync() {
      mustSync = true
    },
    relaxed,
    onCommit(task) {
      if (tasks === undefined) tasks = [task]
      else tasks.push(task)
    },
  }
  return {
    draft,
    end() {
      const drafted = { cells: cells ?? none, tasks, mustSync }
      cells = undefined
      tasks = undefined
      return drafted
    },
  }
}
