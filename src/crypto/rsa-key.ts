import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { fromBase64 } from './encoding.ts'

/** Longest key text that is looked at: PKCS#8 of RSA-8192 needs about 6,200 characters. */
const longestKey = 8_192

function parse(text: string, load: (der: Buffer) => KeyObject): KeyObject | undefined {
  if (text.length > longestKey) return undefined
  const der = fromBase64(text)
  if (der === undefined || der.length === 0) return undefined
  try {
    const key = load(der)
    return key.asymmetricKeyType === 'rsa' ? key : undefined
  } catch {
    return undefined
  }
}

/** The RSA public key of base64 SPKI DER, or undefined when the text is anything else. */
export const rsaPublicKey = (text: string): KeyObject | undefined =>
  parse(text, (key) => createPublicKey({ key, format: 'der', type: 'spki' }))

/** The RSA private key of base64 PKCS#8 DER, or undefined when the text is anything else. */
export const rsaPrivateKey = (text: string): KeyObject | undefined =>
  parse(text, (key) => createPrivateKey({ key, format: 'der', type: 'pkcs8' }))
