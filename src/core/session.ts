import type { Identity } from './access.ts'
import type { AtSign } from './at-sign.ts'
import type { Durability } from './storage.ts'

/** What a TLS client certificate says about the other side of a connection. */
export interface PeerCertificate {
  /** The chain ends at an authority that this server trusts, for any purpose. */
  readonly trusted: boolean
  /** The chain ends at one of the private authorities that this server was given. */
  readonly private?: boolean
  /** The certificate is also allowed to act as a client; public authorities stopped issuing that in 2026. */
  readonly clientPurpose: boolean
  /** SAN entries (DNS names and addresses) and the common name, lower case. */
  readonly names: readonly string[]
}

/** An open challenge; good for one attempt before `expiresAt`. */
export interface Challenge {
  readonly for: AtSign
  /** Text that has to be signed or digested. */
  readonly text: string
  /** By `elapsed`: setting the wall clock neither ends a challenge nor prolongs it. */
  readonly expiresAt: number
}

/** State of one connection. Replaced as a whole by the connection, never edited. */
export interface Session {
  /** `_` and a UUID: part of every challenge, hidden from `scan`. */
  readonly id: string
  readonly identity: Identity
  readonly challenge: Challenge | undefined
  /** Announced by `clientConfig`; a version above 3.0.37 asks for JSON errors (page 01, 5.3). */
  readonly clientVersion: string | undefined
  /** Undefined when the connection came without a certificate or from inside the process. */
  readonly certificate: PeerCertificate | undefined
  readonly remoteAddress: string
  /** Of the changes made on it; that of the store unless told. Only who opens a connection inside the process may say so. */
  readonly durability?: Durability | undefined
}

/** Kinds that a verb may admit; `challenged` is anyone who has asked for a challenge. */
export type SessionKind = 'anyone' | 'challenged' | 'owner' | 'peer'

/** The kind of a session for the gate. */
export const sessionKind = (session: Session): SessionKind =>
  session.identity.kind === 'anyone' && session.challenge !== undefined ? 'challenged' : session.identity.kind

/** `@`, `@alice@` or `@bob@`: what stands behind a reply (page 01, section 2). */
export function promptOf(identity: Identity, self: AtSign): string {
  if (identity.kind === 'owner') return `${self}@`
  if (identity.kind === 'peer') return `${identity.atSign}@`
  return '@'
}
