import type { AtSign } from '../core/at-sign.ts'
import { elapsed } from '../core/clock.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Session } from '../core/session.ts'
import { ownerChallenge, peerChallenge } from '../crypto/challenge.ts'
import { atSign, optionalTail, seq } from '../wire/grammar.ts'
import { become, data, refuse } from '../wire/reply.ts'
import { isBlocked } from './block-list.ts'
import { defineVerb, everyone, type Ports } from './verb.ts'

const anyone = { kind: 'anyone' } as const

/** The version inside a clientConfig; one that is missing or not text asks for nothing (page 01, 5.3). */
function announcedVersion(config: string): string | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(config)
  } catch {
    throw invalidSyntax('clientConfig is not a JSON object')
  }
  if (typeof parsed !== 'object' || parsed === null) throw invalidSyntax('clientConfig is not a JSON object')
  const version = (parsed as Record<string, unknown>)['version']
  return typeof version === 'string' ? version : undefined
}

/** Any `from` ends a proof by `pol`; only one by the owner keeps an owner's login (page 02, section 2). */
const identityAfter = (session: Session, byOwner: boolean): Session['identity'] =>
  byOwner && session.identity.kind === 'owner' ? session.identity : anyone

/** Why another atSign gets no challenge, or undefined. */
async function refusalOf(caller: AtSign, ports: Ports, session: Session): Promise<AtError | undefined> {
  if (await isBlocked(ports.records, ports.self, caller)) return new AtError('AT0013', 'Unable to connect')
  try {
    await ports.federation.admit(caller, session)
    return undefined
  } catch (error) {
    if (error instanceof AtError) return error
    throw error
  }
}

export const from = defineVerb({
  name: 'from',
  summary: 'Say which atSign you are and get a challenge to prove it.',
  grammar: seq(atSign('atSign'), optionalTail('clientConfig')),
  admits: everyone,
  async run(params, ports, { session }) {
    const { self } = ports
    const clientVersion =
      params.clientConfig === undefined ? session.clientVersion : announcedVersion(params.clientConfig)
    const expiresAt = elapsed(ports.clock) + limits.challengeMs
    if (params.atSign === self) {
      const text = ownerChallenge(session.id, self)
      const challenge = { for: self, text, expiresAt }
      ports.visits.record({ verb: 'from' })
      return become({ identity: identityAfter(session, true), challenge, clientVersion }, data(text))
    }
    const refusal = await refusalOf(params.atSign, ports, session)
    // What a client announces counts for the refusal too (page 01, 9.6).
    if (refusal !== undefined) return refuse({ clientVersion }, refusal)
    const { name, challenge: text } = peerChallenge(session.id, params.atSign, self)
    const challenge = { for: params.atSign, text, expiresAt }
    ports.visits.record({ verb: 'from' })
    return become({ identity: anyone, challenge, clientVersion }, data(`proof:${name}:${text}`))
  },
  examples: ['from:@alice', 'from:alice', 'from:@bob:clientConfig:{"version":"3.0.57","clientId":"c1"}'],
})
