import type { Duplex } from 'node:stream'
import type { AtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import { endpointText, parseEndpoint } from './endpoint.ts'
import { createResolver, type DirectoryServer, type Resolver, type ResolverOptions } from './resolver.ts'
import type { Address } from './table.ts'

/** Opens a connection to an address. */
export type Dial = (address: Address) => Promise<Duplex>

/**
 * Addresses of a directory as people write them, ready to be dialled.
 * @throws AtError AT0022 for an address that is none
 */
export const directoryServers = (addresses: readonly string[], dial: Dial): DirectoryServer[] =>
  addresses.map(parseEndpoint).map(({ host, port }) => ({
    name: endpointText({ host, port }),
    dial: () => dial({ host, port }),
  }))

/**
 * A resolver for a directory as people write it: one address or several of the same directory, or a proxy in front of
 * every atServer, `proxy:host:port`, which is then the address of everybody (page 05, 3.6).
 * @param options `dial` opens connections to the directory
 * @throws AtError AT0022 for an address that is none, for none at all, and for a proxy beside others
 */
export function resolverFor(
  addresses: readonly string[],
  options: { dial: Dial } & Omit<ResolverOptions, 'dial' | 'name' | 'others'>,
): Resolver {
  const endpoints = addresses.map(parseEndpoint)
  const [first] = endpoints
  if (first === undefined) throw new AtError('AT0022', 'no address of a directory was given')
  if (endpoints.some(({ proxy }) => proxy)) {
    if (endpoints.length > 1) throw new AtError('AT0022', 'a proxy stands alone: it is the address of every atServer')
    const address = { host: first.host, port: first.port }
    return { resolve: async () => address, close: () => {} }
  }
  const [, ...others] = directoryServers(addresses, options.dial)
  return createResolver({ ...options, name: endpointText(first), dial: () => options.dial(first), others })
}

/**
 * Connects to the atServer of an atSign. An address that does not answer is asked for again, so that an atServer that
 * moved is found at its next place.
 * @throws AtError as `Resolver.resolve` and `dial`
 */
export async function dialAtSign(resolver: Pick<Resolver, 'resolve'>, dial: Dial, atSign: AtSign): Promise<Duplex> {
  const address = await resolver.resolve(atSign)
  try {
    return await dial(address)
  } catch (error) {
    const next = await resolver.resolve(atSign, { fresh: true })
    if (next.host === address.host && next.port === address.port) throw error
    return dial(next)
  }
}
