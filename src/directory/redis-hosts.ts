import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Entry } from './entries.ts'
import { parseAddress } from './table.ts'

/** Who counts the entries of each host, so that one device cannot take all names of a directory that stands in Redis. */
export interface Hosts {
  /** @throws AtError AT0022 when the host of a new entry has as many as it may, AT0021 while they cannot be counted */
  admit(address: string): Promise<void>
  /** An entry was set. */
  added(address: string): void
}

/** How long a count is used: other directories over the same Redis add entries as well. */
const countedMs = 10_000

/** The host of an address, in lower case. */
export const hostOf = (address: string): string => parseAddress(address)?.host.toLowerCase() ?? ''

/** @param list all entries, at most `limits.directoryEntries` of them, which are those that are counted */
export function createHosts(options: { clock: Clock; list: () => Promise<readonly Entry[]> }): Hosts {
  const { clock, list } = options
  let counts = new Map<string, number>()
  let countedAt = Number.NEGATIVE_INFINITY

  const add = (address: string): void => {
    const host = hostOf(address)
    counts.set(host, (counts.get(host) ?? 0) + 1)
  }

  return {
    async admit(address) {
      if (Math.abs(clock.now() - countedAt) >= countedMs) {
        const entries = await list()
        counts = new Map()
        for (const entry of entries) add(entry.address)
        countedAt = clock.now()
      }
      const most = limits.directoryEntriesPerHost
      if ((counts.get(hostOf(address)) ?? 0) < most) return
      throw new AtError('AT0022', `${hostOf(address)} has ${most} entries already, and may have no more`)
    },
    added: add,
  }
}
