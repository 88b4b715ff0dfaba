import { elapsed } from '../core/clock.ts'
import { AtError, keyNotFound } from '../core/errors.ts'
import { cramDigest, equalText } from '../crypto/challenge.ts'
import { seq, tail } from '../wire/grammar.ts'
import { become, data, refuse } from '../wire/reply.ts'
import { defineVerb, everyone } from './verb.ts'

/** Name of the secret that admits a CRAM login until the atSign is activated. */
export const cramSecretName = 'at_secret'

export const cram = defineVerb({
  name: 'cram',
  summary: 'Log in as the owner with the shared secret of a device that is not activated yet.',
  grammar: seq(tail('digest')),
  admits: everyone,
  async run({ digest }, ports, { session }) {
    const { challenge } = session
    if (challenge === undefined || challenge.for !== ports.self) throw keyNotFound(`private:${session.id}${ports.self}`)
    const secret = await ports.secret(cramSecretName)
    const spent = { challenge: undefined, identity: { kind: 'anyone' } } as const
    if (secret === undefined) return refuse(spent, keyNotFound('privatekey:at_secret'))
    const expected = cramDigest(secret, challenge.text)
    const inTime = elapsed(ports.clock) <= challenge.expiresAt
    if (!equalText(expected, digest) || !inTime) return refuse(spent, new AtError('AT0401', 'Authentication Failed'))
    ports.visits.record({ verb: 'cram' })
    return become({ challenge: undefined, identity: { kind: 'owner', via: 'cram' } }, data('success'))
  },
  examples: [`cram:${'0bba9c3e'.repeat(16)}`],
})
