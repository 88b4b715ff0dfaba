import type { AtKey } from '../core/at-key.ts'
import type { MetadataChange } from '../core/metadata.ts'
import { whenKnown } from '../core/when-known.ts'
import { createIvSource, encryptText } from '../crypto/cipher.ts'
import type { AtKeys } from '../crypto/keys-file.ts'
import { signRsa } from '../crypto/signing.ts'
import type { PairKeys } from './pair-keys.ts'

/** A value as it goes to the atServer, and the metadata that says how to read it. */
export interface Sealed {
  readonly value: string
  readonly metadata: MetadataChange
}

/** Text that a command line would break or trim (page 01, section 3), or that line readers cut (page 01, section 10). */
const unsafe = /[\r\n\u0085\u2028\u2029]|^\s|\s$/

/** Public values stay readable for everyone; the signature is over the text before encoding (page 05, 1.8). */
function sealPublic(keys: AtKeys, value: string): Sealed {
  const dataSignature = signRsa(keys.encryptPrivateKey, value)
  if (!unsafe.test(value)) return { value, metadata: { dataSignature, isEncrypted: false } }
  const encoded = Buffer.from(value, 'utf8').toString('base64')
  return { value: encoded, metadata: { dataSignature, isEncrypted: false, encoding: 'base64' } }
}

/**
 * Prepares a value for its reader; at once where the key for that one is known.
 * @throws AtError when the recipient's public key cannot be had
 */
export type Seal = (key: AtKey, value: string) => Sealed | Promise<Sealed>

/**
 * Writes the form that most released clients read (page 05, 1.12): a fresh `ivNonce` each time, the wrapped key inline,
 * never a signature of private text.
 */
export function createSeal(keys: AtKeys, pairKeys: PairKeys): Seal {
  const newIv = createIvSource()
  return (key, value) => {
    if (key.scope === 'public') return sealPublic(keys, value)
    const ivNonce = newIv()
    if (key.sharedWith === undefined || key.sharedWith === keys.atSign) {
      return { value: encryptText(value, keys.selfEncryptionKey, ivNonce), metadata: { isEncrypted: true, ivNonce } }
    }
    return whenKnown(pairKeys.outgoing(key.sharedWith), ({ aesKey, inline }) => ({
      value: encryptText(value, aesKey, ivNonce),
      metadata: { isEncrypted: true, ...inline, ivNonce },
    }))
  }
}
