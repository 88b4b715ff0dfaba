import { type AtKey, makeAtKey } from '../core/at-key.ts'
import { keyNotFound } from '../core/errors.ts'
import { bool, key, opt, param, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { followReferences, readLive } from './reference.ts'
import { defineVerb } from './verb.ts'
import { viewText } from './view.ts'

/** The public record that a key means; `public:` may be left out. @throws AtError AT0015 for a key that is not public */
function publicKey(asked: AtKey): AtKey {
  const { scope, sharedWith, cached, entity, owner } = asked
  if (cached || sharedWith !== undefined || (scope !== undefined && scope !== 'public')) {
    throw keyNotFound(`public:${asked.text}`)
  }
  return makeAtKey({ scope: 'public', entity, owner })
}

export const plookup = defineVerb({
  name: 'plookup',
  summary: 'Read a public record of any atSign through this atServer.',
  grammar: seq(param('bypassCache', bool), opt('view', 'meta', 'all'), key()),
  admits: ['owner'],
  repeats: true,
  async run(p, ports) {
    const wanted = publicKey(p.key)
    ports.visits.record({ verb: 'plookup' })
    if (wanted.owner === ports.self) {
      const record = await readLive(ports, wanted)
      if (record === undefined) throw keyNotFound(wanted.text)
      // As any other server is answered, which asks as a stranger.
      const value = await followReferences(ports, { kind: 'anyone' }, record.value)
      return data(viewText(p.view, wanted.text, value, record.metadata))
    }
    const found = await ports.remote.plookup(wanted, { bypassCache: p.bypassCache ?? false })
    if (found === undefined) throw keyNotFound(wanted.text)
    return data(viewText(p.view, found.key, found.value, found.metadata))
  },
  examples: [
    'plookup:phone@bob',
    'plookup:all:first_name.wavi@bob',
    'plookup:bypassCache:true:all:first_name.wavi@bob',
  ],
})
