import { type AtSign, bareName, parseAtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Entry, EntryStore } from './entries.ts'
import { parseAddress } from './table.ts'

/** The text of a file of entries: names without `@`, in order, as the reference spells them. */
export const entriesText = (entries: ReadonlyMap<AtSign, string>): string => {
  const named = [...entries].map(([atSign, address]) => [bareName(atSign), address] as const)
  return `${JSON.stringify({ version: 1, entries: Object.fromEntries(named) }, null, 2)}\n`
}

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Reads such a text.
 * @throws Error that says what is wrong with it
 */
export function parseEntries(text: string): Map<AtSign, string> {
  const value: unknown = JSON.parse(text)
  if (!isPlain(value) || value['version'] !== 1 || !isPlain(value['entries']))
    throw new Error('it is no list of entries')
  const pairs = Object.entries(value['entries'])
  if (pairs.length > limits.directoryEntries) throw new Error(`it has more than ${limits.directoryEntries} entries`)
  return new Map(
    pairs.map(([name, address]) => {
      if (typeof address !== 'string' || parseAddress(address) === undefined) throw new Error(`${name} has no address`)
      return [parseAtSign(name), address]
    }),
  )
}

/** Saves the latest state again and again, one save at a time; changes during a save share the next one. */
function createSaver(save: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  let next: Promise<void> | undefined
  const start = (): Promise<void> => {
    running = save().finally(() => {
      running = undefined
    })
    return running
  }
  return () => {
    if (running === undefined) return start()
    next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined
        return start()
      })
    return next
  }
}

/**
 * Entries in memory, written as a whole at each change: they are few and change seldom.
 * @param save puts a text in place, whole or not at all; an entry counts once it is through
 */
export function createFileStore(options: {
  entries: ReadonlyMap<AtSign, string>
  save: (text: string) => Promise<void>
}): EntryStore {
  const entries = new Map(options.entries)
  const saved = createSaver(() => options.save(entriesText(entries)))

  const put = (atSign: AtSign, address: string | undefined): void => {
    if (address === undefined) entries.delete(atSign)
    else entries.set(atSign, address)
  }

  /** A change that cannot be saved is taken back, unless another one has come after it. */
  const change = async (atSign: AtSign, address: string | undefined): Promise<void> => {
    const before = entries.get(atSign)
    put(atSign, address)
    try {
      await saved()
    } catch (cause) {
      if (entries.get(atSign) === address) put(atSign, before)
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new AtError('AT0010', `the entry of ${atSign} cannot be saved: ${reason}`, { cause })
    }
  }

  const refuseTooMany = (address: string): void => {
    if (entries.size >= limits.directoryEntries) {
      throw new AtError('AT0022', `this directory holds ${limits.directoryEntries} entries, and no more`)
    }
    const host = parseAddress(address)?.host
    let sameHost = 0
    for (const other of entries.values()) if (parseAddress(other)?.host === host) sameHost++
    if (sameHost >= limits.directoryEntriesPerHost) {
      throw new AtError('AT0022', `${host} has ${limits.directoryEntriesPerHost} entries already, and may have no more`)
    }
  }

  return {
    get: (atSign) => entries.get(atSign),
    async replace(atSign, address, before) {
      if (entries.get(atSign) !== before) return false
      if (before === undefined) refuseTooMany(address)
      await change(atSign, address)
      return true
    },
    async remove(atSign, before) {
      if (!entries.has(atSign) || (before !== undefined && entries.get(atSign) !== before)) return false
      await change(atSign, undefined)
      return true
    },
    list: async () => [...entries].map(([atSign, address]): Entry => ({ atSign, address })),
    status: () => ({ registered: entries.size }),
    close: async () => {},
  }
}
