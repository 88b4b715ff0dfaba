import { X509Certificate } from 'node:crypto'
import { type Authority, day, newPemPair } from './authority.ts'
import { type CertificateName, parseName } from './names.ts'
import { signDraft } from './x509.ts'

/** A certificate with its key, as a TLS server or client loads them. */
export interface IssuedCertificate {
  /** PEM of the certificate, then of the authority. */
  readonly chain: string
  /** PEM of the PKCS#8. */
  readonly key: string
}

/** What a certificate says, for `status` and for judging whether it is still good. */
export interface CertificateFacts {
  /** DNS names and IP addresses of the SAN, in their canonical spelling. */
  readonly names: readonly string[]
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  /** Milliseconds since the epoch. */
  readonly notAfter: number
  /** SHA-256 of the DER, upper-case hex pairs with colons, as openssl prints it. */
  readonly fingerprint: string
}

/** Apple systems refuse a certificate of a private authority that is valid for more than 825 days. */
const defaultDays = 800
/** Longest common name (RFC 5280, upper bounds). */
const commonNameLength = 64

/** General name types of a SAN (RFC 5280, 4.2.1.6). */
const sanEntry = ({ kind, text }: CertificateName): object =>
  kind === 'dns' ? { type: 2, value: text } : { type: 7, ip: text }

/**
 * Issues a certificate that serves on both ends of a connection: an atServer listens with it and shows it to peers.
 * @param options `names` are DNS names and IP addresses, the first becomes the common name; `now` in milliseconds since
 *   the epoch; `days` of validity from now, 800 unless told otherwise and never longer than the authority's
 * @throws Error that names the name that is neither, or says that the authority has expired
 */
export async function issueCertificate(
  authority: Authority,
  options: { names: readonly string[]; now: number; days?: number },
): Promise<IssuedCertificate> {
  const names = distinct(options.names.map(parseName))
  const first = names.find(({ text }) => text.length <= commonNameLength)
  if (first === undefined) throw new Error('a certificate needs a name of at most 64 characters')
  const limits = describeCertificate(authority.certificate)
  // A clock that stands before the birth of the authority is wrong.
  const now = Math.max(options.now, limits.notBefore + day)
  if (limits.notAfter <= now) throw new Error('the certificate authority has expired')
  const { publicKey, privateKey } = await newPemPair()
  const leaf = await signDraft(
    {
      commonName: first.text,
      // Boards without a battery clock may be behind by some hours.
      notBefore: now - day,
      notAfter: Math.min(now + (options.days ?? defaultDays) * day, limits.notAfter),
      publicKey,
      extensions: [
        { name: 'basicConstraints', critical: true, cA: false },
        { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        { name: 'subjectAltName', altNames: names.map(sanEntry) },
      ],
    },
    authority,
  )
  return { chain: `${leaf}${authority.certificate}`, key: privateKey }
}

/**
 * Reads the first certificate of a PEM text.
 * @throws Error when there is none
 */
export function describeCertificate(pem: string): CertificateFacts {
  const certificate = new X509Certificate(pem)
  return {
    names: sanNames(certificate.subjectAltName ?? ''),
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    fingerprint: certificate.fingerprint256,
  }
}

// Node puts quotes around an entry with unusual characters; such an entry is no host name of ours.
function sanNames(text: string): string[] {
  const entries = text.matchAll(/(?:^|, )(?:DNS|IP Address):([^",]+)(?=, |$)/g)
  return [...entries].flatMap(([, name]) => {
    try {
      return name === undefined ? [] : [parseName(name).text]
    } catch {
      return []
    }
  })
}

const distinct = (names: CertificateName[]): CertificateName[] => [
  ...new Map(names.map((name) => [name.text, name])).values(),
]
