import { makeAtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { mergeMetadata } from '../core/metadata.ts'
import type { Store } from '../core/storage.ts'
import { generateRsaPair, signRsa } from '../crypto/signing.ts'

const privateKeyName = 'signing_privatekey'

/**
 * The key pair by which this atServer proves itself to others. Cut at the first start; the public half is the record
 * `public:signing_publickey`, the private half stays outside the records, so that it is neither listed nor synced.
 * @returns a function that signs a challenge
 */
export async function ensureSigningKeys(store: Store, self: AtSign, clock: Clock): Promise<(text: string) => string> {
  const stored = await store.secret(privateKeyName)
  if (stored !== undefined) return (text) => signRsa(stored, text)
  const { publicKey, privateKey } = await generateRsaPair()
  const now = clock.now()
  await store.write(async (tx) => {
    await tx.putSecret(privateKeyName, privateKey)
    const metadata = mergeMetadata(undefined, {}, { by: self, now, newValue: true })
    const key = makeAtKey({ scope: 'public', entity: 'signing_publickey', owner: self })
    await tx.putRecord(key, { value: publicKey, metadata }, { operation: '*', opTime: now, commit: true })
  })
  return (text) => signRsa(privateKey, text)
}
