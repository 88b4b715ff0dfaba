import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import { dialTls } from '../net/dial.ts'

/**
 * Opens TLS connections as an app does: without a certificate of its own.
 * @param ca PEM of a private authority to trust besides the system's
 * @returns a function that connects, or throws AtError AT0021 with the reason
 */
export const tlsTransport =
  (ca: string | undefined, clock: Clock) =>
  (address: { host: string; port: number }): Promise<Duplex> =>
    dialTls({ ...address, ...(ca === undefined ? {} : { ca: [ca] }), timeoutMs: limits.dialMs, clock })
