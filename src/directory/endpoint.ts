import { AtError } from '../core/errors.ts'
import type { Address } from './table.ts'

/** An atDirectory as people write it, or the one proxy in front of every atServer. */
export interface Endpoint extends Address {
  /** Every atSign is at this address; nobody is asked (page 05, 3.6). */
  readonly proxy: boolean
}

/**
 * Reads `host`, `host:port` and `[IPv6 address]:port`.
 * @throws AtError AT0022 for anything else
 */
export function parseServer(text: string, standard: number): Address {
  const [, literal, name, digits] = shape.exec(text) ?? []
  const host = literal ?? name
  const port = digits === undefined ? standard : Number(digits)
  if (host === undefined || port < 1 || port > 65_535) {
    throw new AtError('AT0022', `"${text.slice(0, 64)}" is no address such as host:${standard} or [::1]:${standard}`)
  }
  return { host, port }
}

const shape = /^(?:\[([0-9a-f:.%]{2,64})\]|([^\s:@/[\]]{1,253}))(?::(\d{1,5}))?$/i
/** Port of the public atDirectory. */
const standardPort = 64

/**
 * Reads `host`, `host:port`, `[IPv6 address]:port`, `proxy:host` and `proxy:host:port`; port 64 unless told.
 * @throws AtError AT0022 for anything else
 */
export function parseEndpoint(text: string): Endpoint {
  const bare = text.replace(/^proxy:/i, '')
  return { ...parseServer(bare, standardPort), proxy: bare !== text }
}

/** An address for people: IPv6 literals in brackets. */
export const endpointText = ({ host, port }: Address): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
