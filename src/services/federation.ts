import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { type Log, oncePerMinute } from '../core/log.ts'
import type { PeerCertificate, Session } from '../core/session.ts'
import { verifyRsa } from '../crypto/signing.ts'
import type { Federation } from '../verbs/verb.ts'
import { replyData } from '../wire/link.ts'
import type { Peers } from './peers.ts'
import type { Proofs } from './proofs.ts'

/** How much a certificate counts when another atSign's server calls. */
export interface FederationSettings {
  /** `required` is the white paper's rule; `if-present` judges one that is shown and leaves the proof to `pol`. */
  readonly clientCertificate: 'required' | 'if-present' | 'off'
  /** `lenient` accepts a chain without the client-authentication purpose, which public authorities dropped in 2026. */
  readonly clientPurpose: 'lenient' | 'strict'
}

/** Why a certificate does not speak for a host, or undefined when it does. */
function objection(
  certificate: PeerCertificate,
  host: string,
  purpose: FederationSettings['clientPurpose'],
): string | undefined {
  if (!certificate.trusted) return 'it comes from an unknown authority'
  if (purpose === 'strict' && !certificate.clientPurpose) return 'it is not meant for clients'
  return certificate.names.includes(host.toLowerCase()) ? undefined : `it does not name ${host}`
}

/** A piece of a proof; a peer that does not publish it has not proven itself (page 08, 11.1). */
function published(reply: string): string {
  const refused = (cause?: unknown): AtError => new AtError('AT0011', 'Unable to verify signature', { cause })
  let text: string
  try {
    text = replyData(reply)
  } catch (error) {
    throw error instanceof AtError && error.code === 'AT0015' ? refused(error) : error
  }
  if (text === 'null') throw refused()
  return text
}

/** Judges who calls: by certificate at `from`, by proof of life at `pol` (page 02, sections 2 and 5). */
export function createFederation(options: {
  settings: FederationSettings
  resolve: (atSign: AtSign) => Promise<{ host: string; port: number }>
  peers: Peers
  proofs: Proofs
  clock: Clock
  log: Log
}): Federation {
  const { settings, peers, proofs } = options
  const warn = oncePerMinute(options.log, options.clock)
  const refused = (reason: string): AtError =>
    new AtError('AT0401', `Certificate Verification Failed: ${reason}`, {
      closes: settings.clientCertificate === 'required',
    })

  return {
    async admit(atSign, { certificate }: Session) {
      if (settings.clientCertificate === 'off') return
      if (certificate === undefined) {
        if (settings.clientCertificate === 'required') throw refused('the client showed none')
        return
      }
      const { host } = await options.resolve(atSign)
      const reason = objection(certificate, host, settings.clientPurpose)
      if (reason === undefined) return
      warn('a caller showed a certificate that does not speak for its atSign', { peer: atSign, reason })
      throw refused(reason)
    },
    async verifyProof(atSign, name, challenge) {
      const session = await peers.anonymous(atSign, { insist: true })
      const signature = published(await session.request(`lookup:${name}`))
      const publicKey = published(await session.request(`lookup:signing_publickey${atSign}`))
      if (!verifyRsa(publicKey, challenge, signature)) throw new AtError('AT0401', 'Pol Authentication Failed')
    },
    publishedProof: (name) => proofs.find(name),
  }
}
