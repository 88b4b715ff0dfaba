import { elapsed } from '../core/clock.ts'
import { type Enrollment, primaryEnrollment } from '../core/enrollment.ts'
import { AtError, type ErrorCode } from '../core/errors.ts'
import { verifyPkam } from '../crypto/signing.ts'
import { anyOrder, oneOf, param, seq, tail, token } from '../wire/grammar.ts'
import { become, data, refuse } from '../wire/reply.ts'
import { defineVerb, everyone } from './verb.ts'

const noLegacyCredential =
  'this atSign has no legacy PKAM credential. An atSign onboarded through enroll:request has none by design: ' +
  'authenticate with the enrollment id its keyfile carries, as pkam:enrollmentId:<id>:<signature>'

const stateCodes: Record<Enrollment['state'], ErrorCode | undefined> = {
  approved: undefined,
  denied: 'AT0025',
  pending: 'AT0026',
  revoked: 'AT0027',
}

/** The refusal for an enrollment that may not log in, in the colon form that at_onboarding_cli searches for. */
function stateError(id: string, enrollment: Enrollment | undefined, now: number): AtError | undefined {
  const gone = enrollment === undefined || (enrollment.expiresAt !== undefined && enrollment.expiresAt < now)
  if (gone) return new AtError('AT0028', `enrollment_id: ${id} is expired or invalid`, { shape: 'colon' })
  const code = stateCodes[enrollment.state]
  if (code === undefined) return undefined
  return new AtError(code, `enrollment_id: ${id} is ${enrollment.state}`, { shape: 'colon' })
}

export const pkam = defineVerb({
  name: 'pkam',
  summary: 'Log in as the owner, or as one of its enrollments, by signing the challenge.',
  grammar: seq(
    anyOrder(
      // Read and not used: the algorithm is that of the stored key (page 08, 2.2).
      param('signingAlgo', oneOf('rsa2048', 'ecc_secp256r1', 'mldsa65')),
      param('hashingAlgo', oneOf('sha256', 'sha512')),
      param('enrollmentId', token()),
    ),
    tail('signature'),
  ),
  admits: everyone,
  async run(params, ports, { session }) {
    const id = params.enrollmentId?.trim().toLowerCase() ?? primaryEnrollment
    const enrollment = await ports.enrollments.get(id)
    if (enrollment === undefined && params.enrollmentId === undefined) throw new AtError('AT0401', noLegacyCredential)
    const refusal = stateError(id, enrollment, ports.clock.now())
    if (refusal !== undefined || enrollment === undefined) throw refusal
    // The challenge is spent by the attempt; absent, expired and foreign ones answer like a bad signature (page 08, 2.2).
    const { challenge } = session
    const verified =
      challenge !== undefined &&
      challenge.for === ports.self &&
      elapsed(ports.clock) <= challenge.expiresAt &&
      verifyPkam({
        algo: enrollment.signingAlgo,
        hashing: params.hashingAlgo ?? 'sha256',
        publicKey: enrollment.publicKey,
        signature: params.signature,
        challenge: challenge.text,
      })
    if (!verified) {
      const spent = { challenge: undefined, identity: { kind: 'anyone' } } as const
      return refuse(spent, new AtError('AT0401', 'pkam authentication failed'))
    }
    ports.visits.record({ verb: 'pkam' })
    const identity = { kind: 'owner', via: 'pkam', enrollmentId: id, namespaces: enrollment.namespaces } as const
    return become({ challenge: undefined, identity }, data('success'))
  },
  examples: [
    'pkam:ViL6vTa+5GU/jC5L24NqnVAO/3Nmjw==',
    'pkam:signingAlgo:rsa2048:hashingAlgo:sha512:ViL6vTa+5GU/jC5L24NqnVAO/3Nmjw==',
    'pkam:enrollmentId:0f6c1b9e-5d0e-4c57-9a54-2b8f4c1d7e31:ViL6vTa+5GU/jC5L24NqnVAO/3Nmjw==',
  ],
})
