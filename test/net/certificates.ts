import { type Authority, createAuthority, newPemPair } from '../../src/provision/authority.ts'
import { issueCertificate } from '../../src/provision/certificate.ts'
import { signDraft } from '../../src/provision/x509.ts'

export const day = 86_400_000

export interface Identity {
  /** PEM with the authority behind it. */
  readonly cert: string
  readonly key: string
}

/** An authority that was made 1,000 days ago, so that expired certificates can be issued too. */
export const newAuthority = (name: string): Promise<Authority> =>
  createAuthority({ name, now: Date.now() - 1_000 * day })

export async function issue(authority: Authority, names: string[], now = Date.now()): Promise<Identity> {
  const { chain, key } = await issueCertificate(authority, { names, now })
  return { cert: chain, key }
}

/** A certificate as public authorities issue it since 2026: for servers only. */
export const issueForServersOnly = (authority: Authority, name: string): Promise<Identity> =>
  issueWithSan(authority, name, [{ type: 2, value: name }])

/** A certificate for servers whose SAN has these entries; types are those of GeneralName (RFC 5280, 4.2.1.6). */
export async function issueWithSan(
  authority: Authority,
  name: string,
  altNames: readonly { type: number; value: string }[],
): Promise<Identity> {
  const { publicKey, privateKey } = await newPemPair()
  const certificate = await signDraft(
    {
      commonName: name,
      notBefore: Date.now() - day,
      notAfter: Date.now() + day,
      publicKey,
      extensions: [
        { name: 'keyUsage', critical: true, digitalSignature: true },
        { name: 'extKeyUsage', serverAuth: true },
        { name: 'subjectAltName', altNames },
      ],
    },
    { certificate: authority.certificate, key: authority.key },
  )
  return { cert: certificate + authority.certificate, key: privateKey }
}

/** A root, and an authority that it vouches for: what the second one issues carries the chain of both. */
export async function rootAndBranch(): Promise<{ root: Authority; branch: Authority }> {
  const draft = (commonName: string, publicKey: string) => ({
    ...{ commonName, publicKey, notBefore: Date.now() - 2 * day, notAfter: Date.now() + day },
    extensions: [
      { name: 'basicConstraints', critical: true, cA: true },
      { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    ],
  })
  const [top, below] = await Promise.all([newPemPair(), newPemPair()])
  const root = await signDraft(draft('root', top.publicKey), { key: top.privateKey })
  const branch = await signDraft(draft('branch', below.publicKey), { certificate: root, key: top.privateKey })
  return {
    root: { certificate: root, key: top.privateKey },
    branch: { certificate: branch + root, key: below.privateKey },
  }
}
