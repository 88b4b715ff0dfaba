import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { dialTls } from '../net/dial.ts'
import { clientContext } from '../net/tls-context.ts'

/**
 * Opens TLS connections as an app does: without a certificate of its own.
 * @param ca PEM of a private authority to trust besides the public ones
 * @returns a function that connects, to a host whose certificate carries another name if `servername` says so, or throws AtError AT0021 with the reason
 */
export function tlsTransport(
  ca: string | undefined,
  clock: Clock,
): (address: { host: string; port: number; servername?: string }) => Promise<Duplex> {
  const context = clientContext(ca === undefined ? {} : { ca: [ca] })
  return (address) => dialTls({ ...address, context, clock })
}
