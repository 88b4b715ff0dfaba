import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { rootCertificates, type TLSSocket } from 'node:tls'
import type { PeerCertificate } from '../core/session.ts'

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** The certificates inside a PEM text. */
export const certificatesOf = (pem: string): string[] => pem.match(pemBlock) ?? []

/** Authorities whose word counts for client certificates: the public ones and those of a private network. */
export interface Trust {
  /** Those that vouch under this subject, private ones first. */
  named(subject: string): readonly X509Certificate[]
  /** Whether a certificate is one of the private authorities itself. */
  isOwn(certificate: X509Certificate): boolean
  /** The private authorities alone. */
  readonly own: Pick<Trust, 'named' | 'isOwn'>
}

function bySubject(certificates: readonly X509Certificate[]): Map<string, X509Certificate[]> {
  const found = new Map<string, X509Certificate[]>()
  for (const certificate of certificates) {
    found.set(certificate.subject, [...(found.get(certificate.subject) ?? []), certificate])
  }
  return found
}

/**
 * The public authorities and the given ones. Public ones are read when the first certificate asks for them (20 ms).
 * @param ca PEM text with any number of authorities
 * @throws Error for a certificate that cannot be read
 */
export function createTrust(ca = ''): Trust {
  const own = certificatesOf(ca).map((pem) => new X509Certificate(pem))
  const ownBySubject = bySubject(own)
  let known: Map<string, X509Certificate[]> | undefined
  const ownNamed = (subject: string): readonly X509Certificate[] => ownBySubject.get(subject) ?? []
  const isOwn = (certificate: X509Certificate): boolean =>
    own.some(({ fingerprint256 }) => fingerprint256 === certificate.fingerprint256)
  return {
    named(subject) {
      known ??= bySubject(rootCertificates.map((pem) => new X509Certificate(pem)))
      return [...ownNamed(subject), ...(known.get(subject) ?? [])]
    },
    isOwn,
    own: { named: ownNamed, isOwn },
  }
}

const longestChain = 8

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)

const isValidAt = (certificate: X509Certificate, now: number | undefined): boolean =>
  now === undefined || (Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo))

/** The certificates that the other side sent, its own first. */
function sentChain(own: X509Certificate): X509Certificate[] {
  const chain: X509Certificate[] = []
  for (let next: X509Certificate | undefined = own; next !== undefined; next = next.issuerCertificate) {
    const { fingerprint256 } = next
    if (chain.length === longestChain || chain.some((seen) => seen.fingerprint256 === fingerprint256)) break
    chain.push(next)
  }
  return chain
}

/**
 * True when signatures lead from the first certificate of the chain to an authority, all of them valid now.
 * @param now undefined where nobody knows the time; dates are not judged then
 */
function leadsTo(chain: readonly X509Certificate[], trust: Trust['own'], now: number | undefined): boolean {
  let current = chain[0]
  for (let step = 0; current !== undefined && step < longestChain; step++) {
    const from: X509Certificate = current
    if (!isValidAt(from, now)) return false
    if (trust.isOwn(from)) return true
    if (trust.named(from.issuer).some((issuer) => isIssuedBy(from, issuer) && isValidAt(issuer, now))) return true
    current = chain.find((candidate) => candidate !== from && isIssuedBy(from, candidate))
  }
  return false
}

/** One entry of a SAN as Node writes it: a value with a comma, a quote or a control character in it is quoted. */
const sanEntry = /(?:^|, )((?:"(?:[^"\\]|\\.)*"|[^",])+)/gy

/** Only a whole entry of these types counts: a URI or an e-mail address may have their letters inside. */
const nameEntry = /^(?:DNS|IP Address):([^"\s]+)$/

/** DNS names and addresses of the SAN, then the common names; lower case. Quoted entries are hostile and left out. */
function namesOf(certificate: X509Certificate): string[] {
  const entries = [...(certificate.subjectAltName ?? '').matchAll(sanEntry)].map((match) => match[1] ?? '')
  const alternative = entries.map((entry) => nameEntry.exec(entry)?.[1] ?? '')
  const common = [...certificate.subject.matchAll(/^CN=(.+)$/gm)].map((match) => match[1] ?? '')
  const names = [...alternative, ...common].filter((name) => name !== '' && !name.startsWith('"'))
  return [...new Set(names.map((name) => name.toLowerCase()))]
}

/** Client authentication, and any purpose (RFC 5280, 4.2.1.12). */
const clientPurposes: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.3.2', '2.5.29.37.0'])

const serverPurposes: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.3.1', '2.5.29.37.0'])

/** A certificate that lists no purpose serves for all of them. Node calls the extended key usage `keyUsage`. */
function lists(certificate: X509Certificate, wanted: ReadonlySet<string>): boolean {
  const purposes: readonly string[] | undefined = certificate.keyUsage
  return purposes === undefined || purposes.some((purpose) => wanted.has(purpose))
}

const mayActAsClient = (certificate: X509Certificate): boolean => lists(certificate, clientPurposes)
const mayServe = (certificate: X509Certificate): boolean => lists(certificate, serverPurposes)

/**
 * What OpenSSL says of a chain that is fine but for its authority, which it does not know, or its purpose. It tells its
 * last finding only; dates and constraints come later than these and would have hidden them.
 */
const forUsToJudge: ReadonlySet<string> = new Set([
  'INVALID_PURPOSE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** What OpenSSL says when the wall clock of this device is wrong, or the certificate too old or too new. */
const datesOnly: ReadonlySet<string> = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])

/**
 * Whether the certificate of a server is good but for its dates, for a device that does not know the time. Whatever else
 * OpenSSL may have found before the dates is judged here again: signatures up to an authority, and the name.
 */
export function isGoodButForDates(socket: TLSSocket, trust: Trust, name: string): boolean {
  const own = socket.getPeerX509Certificate()
  if (own === undefined || !datesOnly.has(String(socket.authorizationError))) return false
  const named = isIP(name) === 0 ? own.checkHost(name, { subject: 'never' }) : own.checkIP(name)
  return named !== undefined && mayServe(own) && leadsTo(sentChain(own), trust, undefined)
}

/**
 * What a client certificate says, or undefined when none was shown. OpenSSL judges chains of public authorities; those of
 * a private one, and those without the client purpose, are followed here.
 * @param now milliseconds since the epoch; undefined where nobody knows the time: dates are not judged then
 */
export function peerCertificateOf(
  socket: TLSSocket,
  trust: Trust,
  now: number | undefined,
): PeerCertificate | undefined {
  const own = socket.getPeerX509Certificate()
  if (own === undefined) return undefined
  const names = namesOf(own)
  const chain = sentChain(own)
  const finding = String(socket.authorizationError)
  const ours = socket.authorized || forUsToJudge.has(finding) || (now === undefined && datesOnly.has(finding))
  const isPrivate = ours && leadsTo(chain, trust.own, now)
  if (socket.authorized) return { trusted: true, private: isPrivate, clientPurpose: true, names }
  const trusted = isPrivate || (ours && leadsTo(chain, trust, now))
  return { trusted, private: isPrivate, clientPurpose: mayActAsClient(own), names }
}
