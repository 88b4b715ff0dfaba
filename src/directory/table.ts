import { bareName, parseAtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'

/** Where an atServer listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** atSigns and the addresses of their atServers. Names are taken with or without `@`, in any case, and folded. */
export interface DirectoryTable {
  /**
   * @param address `host:port`; IPv6 literals cannot be expressed (page 05, 3.4)
   * @throws AtError AT0011 for a bad name, AT0022 for a bad address
   */
  set(name: string, address: string): void
  /** @returns whether it was there. @throws AtError AT0011 for a bad name */
  remove(name: string): boolean
  /** @throws AtError AT0011 for a bad name */
  get(name: string): string | undefined
  /** Bare names and addresses, in the order in which they came. */
  entries(): [name: string, address: string][]
}

const addressShape = /^([^\s:@/]{1,253}):(\d{1,5})$/

/** Reads `host:port`, or gives undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  const match = addressShape.exec(text)
  const port = Number(match?.[2])
  if (match?.[1] === undefined || port < 1 || port > 65_535) return undefined
  return { host: match[1], port }
}

const folded = (name: string): string => bareName(parseAtSign(name))

/**
 * A table in memory.
 * @param entries first content: names, and `host:port`
 * @throws AtError for a bad name (AT0011) or address (AT0022)
 */
export function createTable(entries: Iterable<readonly [string, string]> = []): DirectoryTable {
  const addresses = new Map<string, string>()
  const set = (name: string, address: string): void => {
    if (parseAddress(address) === undefined) {
      throw new AtError('AT0022', `The address of ${name} has to be host:port, not "${address.slice(0, 64)}"`)
    }
    addresses.set(folded(name), address)
  }
  for (const [name, address] of entries) set(name, address)
  return {
    set,
    remove: (name) => addresses.delete(folded(name)),
    get: (name) => addresses.get(folded(name)),
    entries: () => [...addresses],
  }
}
