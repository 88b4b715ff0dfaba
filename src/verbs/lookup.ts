import { lookupTarget } from '../core/access.ts'
import { type AtKey, makeAtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import { keyNotFound } from '../core/errors.ts'
import type { Session } from '../core/session.ts'
import { bool, key, opt, param, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { followReferences, readLive } from './reference.ts'
import { defineVerb, everyone } from './verb.ts'
import { viewText } from './view.ts'

const isBare = ({ scope, sharedWith, cached }: AtKey): boolean =>
  scope === undefined && sharedWith === undefined && !cached

/** A key that names its scope (as the white paper's examples do) means itself; a bare one depends on the caller. */
const meant = (asked: AtKey, session: Session, self: AtSign): AtKey =>
  isBare(asked) ? lookupTarget(session.identity, self, asked.entity) : asked

/** What another atSign's server is asked for: what is shared with this atSign. */
const sharedHere = (asked: AtKey, self: AtSign): AtKey =>
  makeAtKey({ sharedWith: self, entity: asked.entity, owner: asked.owner })

export const lookup = defineVerb({
  name: 'lookup',
  summary: 'Read what a record has for you: public for anyone, shared for a peer, from another atServer for the owner.',
  grammar: seq(param('bypassCache', bool), opt('view', 'meta', 'all'), key()),
  admits: everyone,
  repeats: true,
  access(p, session, self) {
    const key = p.key.owner === self ? meant(p.key, session, self) : sharedHere(p.key, self)
    return [{ op: 'read', key, verb: 'lookup' }]
  },
  async run(p, ports, { session }) {
    if (p.key.owner !== ports.self) {
      const asked = sharedHere(p.key, ports.self)
      if (!isBare(p.key) && p.key.text !== asked.text) throw keyNotFound(p.key.text)
      const found = await ports.remote.lookup(asked, { bypassCache: p.bypassCache ?? false })
      if (found === undefined) throw keyNotFound(asked.text)
      ports.visits.record({ verb: 'lookup', key: asked })
      return data(viewText(p.view, found.key, found.value, found.metadata))
    }
    const wanted = meant(p.key, session, ports.self)
    // A published proof is read by the server that asked for it, on a connection without identity (page 02, section 5).
    const proof = ports.federation.publishedProof(`${wanted.entity}${ports.self}`)
    if (proof !== undefined && p.view === undefined) return data(proof)
    const record = await readLive(ports, wanted)
    if (record === undefined) throw keyNotFound(wanted.text)
    const value = await followReferences(ports, session.identity, record.value)
    ports.visits.record({ verb: 'lookup', key: wanted })
    return data(viewText(p.view, wanted.text, value, record.metadata))
  },
  examples: [
    'lookup:phone.wavi@bob',
    'lookup:all:phone.wavi@bob',
    'lookup:bypassCache:true:meta:phone.wavi@bob',
    'lookup:public:test@alice',
  ],
})
