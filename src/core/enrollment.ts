/** What an enrollment may do in a namespace. */
export type Grant = 'r' | 'rw'

export type EnrollmentState = 'pending' | 'approved' | 'denied' | 'revoked'

/** An app or device that logs in with a key of its own (APKAM), or `primary`, the owner's legacy credential. */
export interface Enrollment {
  readonly id: string
  readonly appName: string
  readonly deviceName: string
  /** Namespace to grant; `*` covers all but `__manage`. */
  readonly namespaces: Readonly<Record<string, Grant>>
  /** Public key text in the form of its algorithm (page 02, section 4). */
  readonly publicKey: string
  readonly signingAlgo: 'rsa2048' | 'ecc_secp256r1'
  readonly state: EnrollmentState
  /** Milliseconds since the epoch; absent means never. */
  readonly expiresAt?: number
}

/** Id under which the credential of a legacy onboarding lives; it is never stored as a flat key (page 08, 2.2). */
export const primaryEnrollment = 'primary'

/** The grants that make an enrollment the full owner. */
export const rootGrants: Readonly<Record<string, Grant>> = { '*': 'rw', __manage: 'rw' }
