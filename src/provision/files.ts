import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomically } from '../crypto/private-file.ts'
import { type Authority, createAuthority, day } from './authority.ts'
import { describeCertificate, type IssuedCertificate, issueCertificate } from './certificate.ts'
import { parseName } from './names.ts'

/** An authority and where it lies. */
export interface AuthorityFiles extends Authority {
  /** `ca.pem`; every device and app of the network has to trust it. */
  readonly certificatePath: string
  /** `ca-key.pem`, mode 0600. */
  readonly keyPath: string
}

/** A certificate with its key and where they lie. */
export interface CertificateFiles extends IssuedCertificate {
  /** `fullchain.pem`. */
  readonly chainPath: string
  /** `privkey.pem`, mode 0600. */
  readonly keyPath: string
  /** True when this call issued it, false when it was there and still good. */
  readonly issued: boolean
}

/** A certificate with less time left than this is issued anew. */
const renewalDays = 30
const publicFile = { mode: 0o644, overwrite: true }
const privateFile = { mode: 0o600, overwrite: true }

/**
 * Reads the authority of a directory, or makes it on the first call.
 * @param name common name of a new authority
 * @param now milliseconds since the epoch
 * @throws Error that names the file when the certificate stands without its key or beside another's
 */
export async function ensureAuthority(directory: string, name: string, now: number): Promise<AuthorityFiles> {
  const certificatePath = join(directory, 'ca.pem')
  const keyPath = join(directory, 'ca-key.pem')
  const [certificate, key] = await Promise.all([read(certificatePath), read(keyPath)])
  if (certificate !== undefined) {
    if (key === undefined) throw new Error(`${keyPath} is missing: it is the key of ${certificatePath}`)
    if (!isPair(certificate, key)) throw new Error(`${keyPath} is not the key of ${certificatePath}`)
    return { certificate, key, certificatePath, keyPath }
  }
  const authority = await createAuthority({ name, now })
  // The key first: one without a certificate has signed nothing and is cut again by the next call.
  await writeFileAtomically(keyPath, authority.key, privateFile)
  await writeFileAtomically(certificatePath, authority.certificate, publicFile)
  return { ...authority, certificatePath, keyPath }
}

/**
 * Reads the certificate of a directory, or issues it: on the first call, when a name is missing, when fewer than 30
 * days are left, when the key is another's, and when the authority has been made anew.
 * @param names DNS names and IP addresses that it has to carry; names beyond these are left alone
 * @param now milliseconds since the epoch
 * @throws Error that names the file when someone else's certificate is in the way
 */
export async function ensureCertificate(
  directory: string,
  authority: Authority,
  names: readonly string[],
  now: number,
): Promise<CertificateFiles> {
  const chainPath = join(directory, 'fullchain.pem')
  const keyPath = join(directory, 'privkey.pem')
  const [chain, key] = await Promise.all([read(chainPath), read(keyPath)])
  if (chain !== undefined) refuseForeign(chainPath, chain, authority)
  if (chain !== undefined && key !== undefined && isGood({ chain, key }, authority, names, now)) {
    return { chain, key, chainPath, keyPath, issued: false }
  }
  const fresh = await issueCertificate(authority, { names, now })
  await writeFileAtomically(keyPath, fresh.key, privateFile)
  await writeFileAtomically(chainPath, fresh.chain, publicFile)
  return { ...fresh, chainPath, keyPath, issued: true }
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  }
}

function readCertificate(path: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new Error(`${path} holds no certificate`, { cause })
  }
}

/** A certificate that the owner dropped in, of a public authority for example, is never written over. */
function refuseForeign(path: string, chain: string, authority: Authority): void {
  const { issuer } = readCertificate(path, chain)
  const { subject } = new X509Certificate(authority.certificate)
  if (issuer !== subject) throw new Error(`${path} was issued by "${issuer}", not by "${subject}": move it away first`)
}

function isPair(certificate: string, key: string): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

function isGood(held: IssuedCertificate, authority: Authority, names: readonly string[], now: number): boolean {
  const facts = describeCertificate(held.chain)
  const signer = new X509Certificate(authority.certificate)
  // At the end of the authority's own life a new certificate would not last longer than the one at hand.
  const needed = Math.min(now + renewalDays * day, describeCertificate(authority.certificate).notAfter)
  return (
    names.every((name) => facts.names.includes(parseName(name).text)) &&
    facts.notAfter >= needed &&
    new X509Certificate(held.chain).verify(signer.publicKey) &&
    isPair(held.chain, held.key)
  )
}
