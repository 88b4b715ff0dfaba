import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { checkServerIdentity, connect, type SecureContext, type TLSSocket } from 'node:tls'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { clientContext } from './tls-context.ts'
import { createTrust, isGoodButForDates, type Trust } from './trust.ts'

export interface DialOptions {
  readonly host: string
  readonly port: number
  /** PEM texts of authorities trusted in addition to the public ones. */
  readonly ca?: readonly string[] | undefined
  /** Own certificate with its chain, shown when the other side asks for one. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** Made by `clientContext`, in place of `ca`, `cert` and `key`, by callers that dial often. */
  readonly context?: SecureContext | undefined
  /** Name that the certificate must carry; `host` unless told. */
  readonly servername?: string | undefined
  /** `limits.dialMs` unless told. */
  readonly timeoutMs?: number | undefined
  /** Who is believed while the clock is not trusted, when certificates are judged without their dates; `ca` unless told. */
  readonly trust?: Trust | undefined
  readonly clock: Clock
}

/** Silence after which the kernel asks whether the other side is still there; home routers forget sooner or later. */
const keepAliveMs = 60_000

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection closed during the TLS handshake',
  ENOTFOUND: 'host name not known',
  EAI_AGAIN: 'host name not known now',
  EHOSTUNREACH: 'host not reachable',
  ENETUNREACH: 'network not reachable',
  ETIMEDOUT: 'timed out',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet, or the clock of this device is wrong',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host name',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an unknown authority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate comes from an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate comes from an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an unknown authority',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS',
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim().slice(0, 200)

function reasonOf(error: NodeJS.ErrnoException): string {
  const known = reasons[error.code ?? '']
  if (known === undefined) return oneLine(error.message || (error.code ?? 'unknown error'))
  return `${known} (${error.code})`
}

/** Waits for the end of the handshake; the socket is destroyed when it fails. */
function handshake(socket: TLSSocket, options: { clock: Clock; timeoutMs: number }): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | undefined): void => {
      stopTimer()
      socket.off('error', settle)
      socket.off('end', onEnd)
      // Until the new owner listens for errors, and after a failure, a reset must not stop the process.
      socket.on('error', () => {})
      if (error === undefined) resolve(socket)
      else {
        socket.destroy()
        reject(error)
      }
    }
    const onEnd = (): void => settle(new Error('connection closed during the TLS handshake'))
    const stopTimer = options.clock.after(options.timeoutMs, () => settle(new Error('timed out')))
    socket.once('error', settle)
    socket.once('end', onEnd)
    socket.once('secureConnect', () => settle(undefined))
  })
}

/** For a device that does not know the time: whatever OpenSSL objects to besides dates is an objection still. */
function judgeWithoutDates(socket: TLSSocket, { trust, ca }: DialOptions, name: string): void {
  if (socket.authorized || isGoodButForDates(socket, trust ?? createTrust(ca?.join('\n')), name)) return
  const finding = String(socket.authorizationError)
  socket.destroy()
  throw Object.assign(new Error(finding), { code: finding })
}

/**
 * Opens a TLS connection and checks chain and host name.
 * @throws AtError AT0021 that names host, port and reason
 */
export async function dialTls(options: DialOptions): Promise<Duplex> {
  const { host, port, clock, servername = host, timeoutMs = limits.dialMs } = options
  const knowsTime = clock.trusted?.() !== false
  try {
    const socket = connect({
      host,
      port,
      rejectUnauthorized: knowsTime,
      secureContext: options.context ?? clientContext(options),
      // SNI carries names only; an address is checked against the certificate all the same.
      ...(isIP(servername) === 0
        ? { servername }
        : { checkServerIdentity: (_name, peer) => checkServerIdentity(servername, peer) }),
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, keepAliveMs)
    const secured = await handshake(socket, { clock, timeoutMs })
    if (!knowsTime) judgeWithoutDates(secured, options, servername)
    return secured
  } catch (cause) {
    const reason = cause instanceof Error ? reasonOf(cause) : 'unknown error'
    throw new AtError('AT0021', `Unable to connect to ${host}:${port}: ${reason}`, { cause })
  }
}
