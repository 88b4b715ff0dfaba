import { X509Certificate } from 'node:crypto'
import { createSecureContext, rootCertificates, type SecureContext, type TLSSocket } from 'node:tls'
import type { PeerCertificate } from '../core/session.ts'

/** What a listener shows and whom it trusts, as PEM texts. */
export interface ServerContext {
  /** Certificate with its chain. */
  readonly cert: string
  readonly key: string
  /** Authorities trusted for client certificates, in addition to the public ones. */
  readonly ca?: string | undefined
}

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** The certificates inside a PEM text. */
export const certificatesOf = (pem: string): string[] => pem.match(pemBlock) ?? []

/** The public authorities and the given ones. */
export const authorities = (given: readonly string[]): string[] => [
  ...rootCertificates,
  ...given.flatMap((pem) => certificatesOf(pem)),
]

const minVersion = 'TLSv1.2'

/**
 * TLS options of a listener.
 * @throws Error that says which of the PEM texts is unusable
 */
export function serverTls({ cert, key, ca }: ServerContext): {
  cert: string
  key: string
  ca?: string[]
  minVersion: 'TLSv1.2'
} {
  const options = { cert, key, minVersion, ...(ca === undefined ? {} : { ca: authorities([ca]) }) } as const
  try {
    createSecureContext({ cert, key, minVersion })
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
    ...(ca.length === 0 ? {} : { ca: authorities(ca) }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  })
}

const longestChain = 8

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)

/** The certificates that the other side sent, its own first. */
function sentChain(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = []
  const seen = new Set<string>()
  let detail = socket.getPeerCertificate(true)
  while (detail?.raw !== undefined && !seen.has(detail.fingerprint256) && chain.length < longestChain) {
    seen.add(detail.fingerprint256)
    chain.push(new X509Certificate(detail.raw))
    detail = detail.issuerCertificate
  }
  return chain
}

/** True when signatures lead from the first certificate of the chain to one of the authorities. */
function leadsTo(chain: readonly X509Certificate[], trusted: readonly X509Certificate[]): boolean {
  let current = chain[0]
  for (let step = 0; current !== undefined && step < longestChain; step++) {
    const from: X509Certificate = current
    if (trusted.some((authority) => isIssuedBy(from, authority))) return true
    current = chain.find((candidate) => candidate !== from && isIssuedBy(from, candidate))
  }
  return false
}

const sanEntry = /(DNS|IP Address):("(?:[^"\\]|\\.)*"|[^,\s]+)/g

/** DNS names and addresses of the SAN, then the common names; lower case. Quoted entries are hostile and left out. */
function namesOf(certificate: X509Certificate): string[] {
  const alternative = [...(certificate.subjectAltName ?? '').matchAll(sanEntry)].map((match) => match[2] ?? '')
  const common = [...certificate.subject.matchAll(/^CN=(.+)$/gm)].map((match) => match[1] ?? '')
  const names = [...alternative, ...common].filter((name) => name !== '' && !name.startsWith('"'))
  return [...new Set(names.map((name) => name.toLowerCase()))]
}

/**
 * What a client certificate says, or undefined when none was shown.
 * OpenSSL reports one error only, and a missing client purpose hides that the authority is unknown; so in that case
 * the signatures are followed here. Dates and constraints are reported later and would have hidden the purpose.
 * @param trusted authorities of the listener, PEM
 */
export function peerCertificateOf(socket: TLSSocket, trusted: () => readonly string[]): PeerCertificate | undefined {
  const own = socket.getPeerX509Certificate()
  if (own === undefined) return undefined
  const clientPurpose = socket.authorized
  const lacksPurpose = String(socket.authorizationError) === 'INVALID_PURPOSE'
  const vouched = lacksPurpose && leadsTo(sentChain(socket), readAll(trusted()))
  return { trusted: clientPurpose || vouched, clientPurpose, names: namesOf(own) }
}

const readAll = (pems: readonly string[]): X509Certificate[] => pems.map((pem) => new X509Certificate(pem))
