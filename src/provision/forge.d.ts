// The two parts of node-forge that lay out an X.509 certificate, typed as far as `x509.ts` uses them.
// Imported one by one they bring 170 kB (minified) into the bundle; the whole package would bring 290 kB.

declare module 'node-forge/lib/x509.js' {
  namespace x509 {
    /** A node of an ASN.1 tree: bytes, one character each, or the nodes below it. */
    interface Asn1 {
      value: string | Asn1[]
    }
    interface NameField {
      name: string
      value: string
      /** Universal ASN.1 tag of the value. */
      valueTagClass: number
    }
    interface Certificate {
      /** Hex of the positive big-endian number. */
      serialNumber: string
      signatureOid: string
      siginfo: { algorithmOid: string }
      /** One character a byte. */
      signature: string
      validity: { notBefore: Date; notAfter: Date }
      publicKey: object
      tbsCertificate: Asn1
      setSubject(fields: NameField[]): void
      setExtensions(extensions: object[]): void
      getExtension(name: string): { subjectKeyIdentifier?: string } | null
      generateSubjectKeyIdentifier(): { getBytes(): string }
    }
  }
  const x509: {
    createCertificate(): x509.Certificate
    certificateFromPem(pem: string): x509.Certificate
    certificateToPem(certificate: x509.Certificate): string
    getTBSCertificate(certificate: x509.Certificate): x509.Asn1
    publicKeyFromPem(pem: string): object
  }
  export = x509
}

declare module 'node-forge/lib/asn1.js' {
  const asn1: { toDer(node: object): { getBytes(): string } }
  export = asn1
}
