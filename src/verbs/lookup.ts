import { lookupTarget } from '../core/access.ts'
import { type AtKey, makeAtKey, parseAtKey } from '../core/at-key.ts'
import { keyNotFound } from '../core/errors.ts'
import { isLive } from '../core/metadata.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Session } from '../core/session.ts'
import { bool, key, opt, param, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { defineVerb, everyone, type Ports } from './verb.ts'
import { viewText } from './view.ts'

const referencePrefix = 'atsign://'
/** Hops of a reference value before it counts as leading nowhere (reference: lookup.depth_of_resolution). */
const referenceDepth = 3

/** A key that names its scope (as the white paper's examples do) means itself; a bare one depends on the caller. */
const meant = (asked: AtKey, session: Session, ports: Ports): AtKey =>
  asked.scope !== undefined || asked.sharedWith !== undefined
    ? asked
    : lookupTarget(session.identity, ports.self, asked.entity)

async function readLive(ports: Ports, wanted: AtKey): Promise<StoredRecord | undefined> {
  const record = await ports.records.get(wanted.text)
  return record !== undefined && isLive(record.metadata, ports.clock.now()) ? record : undefined
}

/** Follows `atsign://` values within this server: in the caller's own scope first, then among the public records. */
async function resolveValue(ports: Ports, session: Session, value: string | null): Promise<string | null> {
  let current = value
  for (let hop = 0; current?.startsWith(referencePrefix); hop++) {
    const target = parseAtKey(current.slice(referencePrefix.length))
    if (hop === referenceDepth || target.owner !== ports.self) throw keyNotFound(target.text)
    const own = lookupTarget(session.identity, ports.self, target.entity)
    const open = makeAtKey({ scope: 'public', entity: target.entity, owner: ports.self })
    const record = (await readLive(ports, own)) ?? (await readLive(ports, open))
    if (record === undefined) throw keyNotFound(target.text)
    current = record.value
  }
  return current
}

export const lookup = defineVerb({
  name: 'lookup',
  summary: 'Read what a record has for you: public for anyone, shared for a peer, from another atServer for the owner.',
  grammar: seq(param('bypassCache', bool), opt('view', 'meta', 'all'), key()),
  admits: everyone,
  access(p, session, self) {
    const target =
      p.key.owner === self && p.key.scope === undefined && p.key.sharedWith === undefined
        ? lookupTarget(session.identity, self, p.key.entity)
        : p.key.owner === self
          ? p.key
          : makeAtKey({ sharedWith: self, entity: p.key.entity, owner: p.key.owner })
    return [{ op: 'read', key: target, verb: 'lookup' }]
  },
  async run(p, ports, { session }) {
    if (p.key.owner !== ports.self) {
      const found = await ports.remote.lookup(p.key, { bypassCache: p.bypassCache ?? false })
      if (found === undefined) throw keyNotFound(`${ports.self}:${p.key.entity}${p.key.owner}`)
      return data(viewText(p.view, found.key, found.value, found.metadata))
    }
    const wanted = meant(p.key, session, ports)
    // A published proof is read by the server that asked for it, on a connection without identity (page 02, section 5).
    const proof = ports.federation.publishedProof(`${wanted.entity}${ports.self}`)
    if (proof !== undefined && p.view === undefined) return data(proof)
    const record = await readLive(ports, wanted)
    if (record === undefined) throw keyNotFound(wanted.text)
    const value = await resolveValue(ports, session, record.value)
    return data(viewText(p.view, wanted.text, value, record.metadata))
  },
  examples: [
    'lookup:phone.wavi@bob',
    'lookup:all:phone.wavi@bob',
    'lookup:bypassCache:true:meta:phone.wavi@bob',
    'lookup:public:test@alice',
  ],
})
