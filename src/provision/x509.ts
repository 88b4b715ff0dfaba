import { randomBytes, sign } from 'node:crypto'
import type x509 from 'node-forge/lib/x509.js'

/** A certificate before an authority has put its name and signature to it. */
export interface Draft {
  readonly commonName: string
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  /** Milliseconds since the epoch. */
  readonly notAfter: number
  /** PEM of the SPKI of an RSA key. */
  readonly publicKey: string
  /** Extensions in the words of node-forge; the two key identifiers are added to them. */
  readonly extensions: readonly object[]
}

/** Who signs a draft. */
export interface Signer {
  /** PEM; absent when the certificate signs itself. */
  readonly certificate?: string
  /** PEM of the PKCS#8 of an RSA key. */
  readonly key: string
}

const sha256WithRsa = '1.2.840.113549.1.1.11'
const utf8String = 12
/** Places of the two names inside a TBSCertificate (RFC 5280, 4.1). */
const issuerField = 3
const subjectField = 5

/** Loaded on first use: few starts of a device issue a certificate. */
async function loadForge() {
  const [pki, asn1] = await Promise.all([import('node-forge/lib/x509.js'), import('node-forge/lib/asn1.js')])
  return { pki: pki.default, asn1: asn1.default }
}

/** 128 bits with a fixed top: positive, never shortened, never zero (RFC 5280, 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(16)
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0)
  return bytes.toString('hex')
}

/**
 * Makes a certificate of a draft. node-forge lays it out, node:crypto signs it: the private key stays outside of
 * JavaScript arithmetic.
 * @returns PEM with LF line ends
 */
export async function signDraft(draft: Draft, signer: Signer): Promise<string> {
  const { pki, asn1 } = await loadForge()
  const certificate = pki.createCertificate()
  const authority = signer.certificate === undefined ? certificate : pki.certificateFromPem(signer.certificate)
  certificate.serialNumber = newSerial()
  certificate.validity = { notBefore: new Date(draft.notBefore), notAfter: new Date(draft.notAfter) }
  certificate.publicKey = pki.publicKeyFromPem(draft.publicKey)
  certificate.setSubject([{ name: 'commonName', value: draft.commonName, valueTagClass: utf8String }])
  certificate.setExtensions([
    ...draft.extensions,
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: keyIdentifier(authority) },
  ])
  certificate.siginfo.algorithmOid = certificate.signatureOid = sha256WithRsa
  const body = pki.getTBSCertificate(certificate)
  // The issuer has to be the authority's subject byte for byte; written anew it could come out in another encoding.
  setField(body, issuerField, field(authority === certificate ? body : authority.tbsCertificate, subjectField))
  certificate.tbsCertificate = body
  const signed = Buffer.from(asn1.toDer(body).getBytes(), 'latin1')
  certificate.signature = sign('sha256', signed, signer.key).toString('latin1')
  return pki.certificateToPem(certificate).replaceAll('\r\n', '\n')
}

function setField(tree: x509.Asn1, place: number, node: x509.Asn1): void {
  if (typeof tree.value !== 'string') tree.value[place] = node
}

function field(tree: x509.Asn1, place: number): x509.Asn1 {
  const node = typeof tree.value === 'string' ? undefined : tree.value[place]
  if (node === undefined) throw new Error('the certificate of the authority has no subject')
  return node
}

/** What the authority calls its key; an authority made by other software may have used another rule than ours. */
function keyIdentifier(authority: x509.Certificate): string {
  const hex = authority.getExtension('subjectKeyIdentifier')?.subjectKeyIdentifier
  return hex === undefined
    ? authority.generateSubjectKeyIdentifier().getBytes()
    : Buffer.from(hex, 'hex').toString('latin1')
}
