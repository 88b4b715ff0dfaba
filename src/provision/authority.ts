import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import { signDraft } from './x509.ts'

/** A certificate authority of a private network. */
export interface Authority {
  /** PEM. */
  readonly certificate: string
  /** PEM of the PKCS#8; whoever holds it can be any atServer of this network. */
  readonly key: string
}

/** Milliseconds of a day, and of a year on the long average. */
export const day = 86_400_000
const year = 365.25 * day
/** Longer than the life of the devices that trust it: replacing it means visiting each of them. */
const defaultYears = 20

const cutKeyPair = promisify(generateKeyPair)

/** A new RSA-2048 pair as PEM: SPKI and PKCS#8. */
export const newPemPair = (): Promise<{ publicKey: string; privateKey: string }> =>
  cutKeyPair('rsa', {
    modulusLength: 2_048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })

/**
 * Makes a self-signed authority that may sign certificates of hosts, but no further authority.
 * @param options `name` becomes the common name, 1 to 64 characters; `now` in milliseconds since the epoch; `years` of
 *   validity, 20 unless told otherwise
 * @throws Error when the name is empty or too long
 */
export async function createAuthority(options: { name: string; now: number; years?: number }): Promise<Authority> {
  const length = [...options.name].length
  if (length === 0 || length > 64) throw new Error('the name of an authority has 1 to 64 characters')
  const { publicKey, privateKey } = await newPemPair()
  const certificate = await signDraft(
    {
      commonName: options.name,
      // Boards without a battery clock may be behind by some hours.
      notBefore: options.now - day,
      notAfter: options.now + (options.years ?? defaultYears) * year,
      publicKey,
      extensions: [
        { name: 'basicConstraints', critical: true, cA: true, pathLenConstraint: 0 },
        { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
      ],
    },
    { key: privateKey },
  )
  return { certificate, key: privateKey }
}
