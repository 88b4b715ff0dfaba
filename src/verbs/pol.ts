import { elapsed } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { seq } from '../wire/grammar.ts'
import { promptOnly, refuse } from '../wire/reply.ts'
import { isBlocked } from './block-list.ts'
import { defineVerb, everyone } from './verb.ts'

const outOfOrder = "You must execute a 'from:' command before you may run the pol command"

export const pol = defineVerb({
  name: 'pol',
  summary: 'Have this server check, at your own atServer, that you are who you said you are.',
  grammar: seq(),
  admits: everyone,
  async run(_params, ports, { session }) {
    const { challenge } = session
    if (challenge === undefined || challenge.for === ports.self) throw new AtError('AT0011', outOfOrder)
    const spent = { challenge: undefined, identity: { kind: 'anyone' } } as const
    if (elapsed(ports.clock) > challenge.expiresAt)
      return refuse(spent, new AtError('AT0401', 'Pol Authentication Failed'))
    // Blocked since its `from`, which had the directory to ask first.
    if (await isBlocked(ports.records, ports.self, challenge.for)) {
      return refuse(spent, new AtError('AT0013', 'Unable to connect'))
    }
    try {
      await ports.federation.verifyProof(challenge.for, `${session.id}${challenge.for}`, challenge.text)
    } catch (error) {
      if (error instanceof AtError) return refuse(spent, error)
      throw error
    }
    ports.visits.record({ verb: 'pol', atSign: challenge.for })
    return promptOnly({ challenge: undefined, identity: { kind: 'peer', atSign: challenge.for } })
  },
  examples: ['pol'],
})
