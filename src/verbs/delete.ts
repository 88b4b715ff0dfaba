import { type AtKey, isCommitted } from '../core/at-key.ts'
import { parseUtc, wireTime } from '../core/clock.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { flag, key, oneOf, param, seq, timeParam } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { leavesBlockList } from './block-list.ts'
import { priorities, requireOwner, standing } from './changes.ts'
import { cramSecretName } from './cram.ts'
import { defineVerb, type Ports } from './verb.ts'

const protectedNames = new Set(['publickey', 'signing_publickey', 'signing_privatekey'])

/** Refuses the keys without which the atSign would stop working, in any letter case (page 07, section 1). */
function checkDeletable(target: AtKey, ports: Ports): void {
  requireOwner(target)
  if (target.cached) return
  if (target.owner !== undefined && target.owner !== ports.self) {
    throw new AtError('AT0016', `${target.text} is not a key of ${ports.self}`)
  }
  if (protectedNames.has(target.entity)) {
    throw new AtError('AT0009', `Cannot delete protected key: '${target.entity}${target.owner}'`)
  }
  if (target.scope === 'privatekey' && target.text !== 'privatekey:at_secret') {
    throw invalidSyntax(`${target.text} cannot be deleted`)
  }
}

export const deleteVerb = defineVerb({
  name: 'delete',
  summary: 'Remove a record; the recipient of a shared record is told.',
  grammar: seq(
    timeParam('dAt', {
      parse(text) {
        const ms = parseUtc(text)
        if (ms === undefined) throw invalidSyntax('dAt takes a UTC time such as 2026-01-31T10:00:00Z')
        return ms
      },
      format: wireTime,
    }),
    flag('nc'),
    flag('force'),
    param('priority', oneOf(...priorities)),
    key('optional'),
  ),
  admits: ['owner'],
  overlaps: leavesBlockList,
  access: (p) => [{ op: 'write', key: p.key, verb: 'delete' }],
  async run(p, ports) {
    checkDeletable(p.key, ports)
    if (p.key.text === 'privatekey:at_secret') {
      await ports.write((tx) => tx.removeSecret(cramSecretName))
      return data('-1')
    }
    const id = await ports.write(async (tx) => {
      const now = ports.clock.now()
      const existing = standing(tx.record(p.key.text), now)
      if (existing?.metadata.immutable && !p.force && !p.key.cached) {
        throw new AtError('AT0032', 'Immutable records may not be deleted without the force flag')
      }
      const commit = !p.nc && isCommitted(p.key)
      const commitId = await tx.removeRecord(p.key, { operation: '-', opTime: p.dAt ?? now, commit })
      ports.outgoing.autoNotify(tx, p.key, {
        operation: 'delete',
        value: null,
        metadata: p.dAt === undefined ? {} : { updatedAt: p.dAt },
        at: now,
        priority: p.priority ?? 'low',
      })
      if (commitId >= 0) tx.onCommit(() => ports.feed.changed(commitId, 'delete'))
      return commitId
    })
    return data(String(id))
  },
  examples: [
    'delete:public:location@alice',
    'delete:cached:public:publickey@bob',
    'delete:dAt:2023-05-05T11:59:44.123000Z:nc:force:priority:high:@bob:delkey.wavi@alice',
    'delete:privatekey:at_secret',
  ],
})
