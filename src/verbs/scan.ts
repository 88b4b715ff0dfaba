import { permits } from '../core/access.ts'
import { type AtKey, parseAtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import { wireTime } from '../core/clock.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { isLive } from '../core/metadata.ts'
import { jsonLine } from '../core/one-line.ts'
import type { Pattern } from '../core/pattern.ts'
import type { Session } from '../core/session.ts'
import { inTurns } from '../core/turns.ts'
import { anyOrder, bool, flag, integer, optionalAtSign, optionalWord, param, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { defineVerb, everyone, type Ports } from './verb.ts'

/** Keys that `scan` keeps to itself (page 03, section 11): `_x`, and `public:__x`, unless asked; `public:_x` always. */
function hidden(key: AtKey, showHidden: boolean): boolean {
  if (key.scope === 'private' || key.scope === 'privatekey') return true
  if (!key.entity.startsWith('_') || key.cached) return false
  if (key.scope === 'public' && !key.entity.startsWith('__')) return true
  return key.sharedWith === undefined && !showHidden
}

const isOthers = (session: Session, key: AtKey, self: string): boolean =>
  session.identity.kind === 'peer'
    ? key.sharedWith === session.identity.atSign && !key.cached && key.owner === self
    : session.identity.kind === 'owner' || (key.scope === 'public' && !key.cached && !key.entity.startsWith('_'))

/** Whether a key is listed for a session. Peers see what is shared with them, hidden or not. */
function listed(key: AtKey, session: Session, self: string, showHidden: boolean): boolean {
  if (!isOthers(session, key, self)) return false
  if (session.identity.kind === 'owner') {
    if (hidden(key, showHidden)) return false
    return permits(session.identity, { op: 'read', key, verb: 'scan' }) === undefined
  }
  return true
}

/** The spelling for the caller: without its own name, or without `public:`. */
function spelling(key: AtKey, session: Session): string {
  if (session.identity.kind === 'owner') return key.text
  return `${key.entity}${key.owner ?? ''}`
}

/**
 * Keeps what lies on the page; without a page everything does.
 * @param tooLong what to answer when that is more than one reply may hold
 */
function createPage({ page }: Asked, seen: number, tooLong = tooManyKeys) {
  const size = limits.scanPageKeys
  // Pages count from 1; whoever begins with 0 gets the first one twice and misses nothing.
  const from = (Math.max(page ?? 1, 1) - 1) * size
  const texts: string[] = []
  let place = seen
  let bytes = 0
  return {
    full: () => page !== undefined && texts.length >= size,
    add(item: unknown) {
      if (place++ < from) return
      const text = jsonLine(item)
      bytes += Buffer.byteLength(text) + 1
      if (bytes > limits.replyBytes) throw tooLong()
      texts.push(text)
    },
    text: () => `[${texts.join(',')}]`,
  }
}

const tooManyKeys = (): AtError =>
  new AtError(
    'AT0022',
    'one reply may not hold that many keys; ask for pages, as in scan:page:1, or for fewer by a regex',
  )

interface Asked {
  readonly showHidden: boolean
  readonly page: number | undefined
  readonly matches: Pattern
  readonly signal: AbortSignal
  /** Session and question, the same for every page. */
  readonly name: string
}

/** Where the page before ended for this session, and what came before that: nothing of it is judged again. */
function resume({ pageEnds }: Ports, { name, page = 1 }: Asked): { after: string | undefined; seen: number } {
  const after = page > 1 ? pageEnds.get(`${page - 1} ${name}`)?.value : undefined
  return { after, seen: after === undefined ? 0 : (page - 1) * limits.scanPageKeys }
}

function noteEnd({ pageEnds }: Ports, { name, page }: Asked, last: string): void {
  if (page !== undefined) pageEnds.set(`${Math.max(page, 1)} ${name}`, last)
}

async function scanKeys(ports: Ports, session: Session, asked: Asked): Promise<string> {
  const { showHidden, matches, signal } = asked
  const prefix = session.identity.kind === 'peer' ? `${session.identity.atSign}:` : 'public:'
  const now = ports.clock.now()
  const { after, seen } = resume(ports, asked)
  const found = createPage(asked, seen)
  const entries = ports.records.entries(session.identity.kind === 'owner' ? '' : prefix, after)
  for await (const [text, metadata] of inTurns(entries, ports.clock, signal)) {
    const key = parseAtKey(text)
    if (!isLive(metadata, now) || !listed(key, session, ports.self, showHidden) || !matches(text)) continue
    found.add(spelling(key, session))
    if (!found.full()) continue
    noteEnd(ports, asked, text)
    break
  }
  return found.text()
}

async function scanCommits(ports: Ports, session: Session, asked: Asked): Promise<string> {
  const { showHidden, matches, signal } = asked
  if (session.identity.kind !== 'owner') throw new AtError('AT0401', 'scan:cl requires an authenticated connection')
  const { after, seen } = resume(ports, asked)
  const found = createPage(asked, seen)
  const entries = ports.commits.entries(after === undefined ? undefined : Number(after))
  for await (const entry of inTurns(entries, ports.clock, signal)) {
    if (!listed(parseAtKey(entry.key), session, ports.self, showHidden) || !matches(entry.key)) continue
    const { key: atKey, operation, commitId, opTime } = entry
    found.add({ atKey, operation, commitId, opTime: wireTime(opTime) })
    if (!found.full()) continue
    noteEnd(ports, asked, `${commitId}`)
    break
  }
  return found.text()
}

/** The answer of another atServer, which knows no pages unless it is one of ours: cut here, and no longer than any reply. */
async function scanRemote(ports: Ports, atSign: AtSign, pattern: string | undefined, asked: Asked): Promise<string> {
  const reason = `${atSign} sent more keys than one reply may hold; ask for pages, as in scan:${atSign}:page:1`
  const found = createPage(asked, 0, () => new AtError('AT0008', reason))
  for (const key of await ports.remote.scan(atSign, pattern)) {
    if (found.full()) break
    found.add(key)
  }
  return found.text()
}

export const scan = defineVerb({
  name: 'scan',
  summary: 'List the keys that you may see, here or (as the owner) at another atServer.',
  grammar: seq(
    flag('cl'),
    anyOrder(param('showHidden', bool, ['showhidden']), optionalAtSign('atSign'), param('page', integer(0))),
    optionalWord('pattern'),
  ),
  admits: everyone,
  async run(p, ports, { session, signal }) {
    const matches = p.pattern === undefined ? () => true : ports.pattern(p.pattern)
    const showHidden = p.showHidden ?? false
    const name = [session.id, session.identity.kind, p.cl, showHidden, p.pattern ?? ''].join(' ')
    const asked: Asked = { showHidden, page: p.page, matches, signal, name }
    if (p.atSign !== undefined && p.atSign !== ports.self) {
      if (p.cl) throw invalidSyntax("scan:cl can only scan this atSign's own commit log")
      if (session.identity.kind !== 'owner') {
        throw new AtError('AT0401', 'Scan to another atSign cannot be performed without auth')
      }
      return data(await scanRemote(ports, p.atSign, p.pattern, asked))
    }
    const find = p.cl ? scanCommits : scanKeys
    return data(await find(ports, session, asked))
  },
  examples: ['scan', 'scan wavi', 'scan:showhidden:true', 'scan:cl sc1', 'scan:showhidden:false:@bob:page:2 ^public:'],
})
