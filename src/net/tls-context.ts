import { constants } from 'node:crypto'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { certificatesOf } from './trust.ts'

/** What a listener shows and whom it trusts, as PEM texts. */
export interface ServerContext {
  /** Certificate with its chain. */
  readonly cert: string
  readonly key: string
  /** Authorities trusted for client certificates, in addition to the public ones. */
  readonly ca?: string | undefined
}

const minVersion = 'TLSv1.2'

/**
 * TLS options of a listener. OpenSSL is told of no authority besides the public ones that it has built in: each one told
 * would be named in every handshake, which costs half of the login rate, and clients of Go and Java show no certificate
 * to a server that names authorities other than theirs. Private ones are judged by `Trust`.
 * Sessions are never resumed: a resumed one has lost the chain that the client sent and could not be judged.
 * @throws Error that says which of the PEM texts is unusable
 */
export function serverTls({ cert, key }: ServerContext): {
  cert: string
  key: string
  minVersion: 'TLSv1.2'
  secureOptions: number
} {
  const options = { cert, key, minVersion, secureOptions: constants.SSL_OP_NO_TICKET } as const
  try {
    createSecureContext(options)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`The TLS certificate and its key cannot be used: ${reason}`, { cause })
  }
  return options
}

/**
 * Trust and identity of a dialling side. Making one with `ca` reads every public authority (about 20 ms), so callers
 * that dial often make it once.
 */
export function clientContext(options: {
  /** PEM texts of authorities trusted in addition to the public ones. */
  ca?: readonly string[] | undefined
  cert?: string | undefined
  key?: string | undefined
}): SecureContext {
  const { ca = [], cert, key } = options
  return createSecureContext({
    minVersion,
    ...(ca.length === 0 ? {} : { ca: [...rootCertificates, ...ca.flatMap((pem) => certificatesOf(pem))] }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  })
}
