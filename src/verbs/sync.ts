import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { metadataTexts } from '../core/metadata-view.ts'
import { jsonLine } from '../core/one-line.ts'
import type { CommitEntry, StoredRecord } from '../core/record.ts'
import { isSynced } from '../core/sync.ts'
import { inTurns } from '../core/turns.ts'
import { anyOrder, integer, type Part, param, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { type Call, defineVerb, type Ports } from './verb.ts'

/** `:<n>`, -1 for everything. */
const start: Part<{ after: number }> = {
  read(cursor, out) {
    const digits = /^:([^:]*)/.exec(cursor.text)?.[1] ?? ''
    out['after'] = integer(-1).parse(digits, 'sync:from')
    cursor.at = digits.length + 1
  },
  write: (p) => `:${p.after}`,
}

/** Everything that is left, colons included. */
const regex: Part<{ pattern?: string }> = {
  read(cursor, out) {
    const rest = cursor.text.slice(cursor.at)
    if (rest === '') return
    if (!rest.startsWith(':') || rest.length === 1) throw invalidSyntax(`unexpected "${rest.slice(0, 32)}"`)
    out['pattern'] = rest.slice(1)
    cursor.at = cursor.text.length
  },
  write: (p) => (p.pattern === undefined ? '' : `:${p.pattern}`),
}

const grammar = seq(start, anyOrder(param('limit', integer(0)), param('skipDeletesUntil', integer(0))), regex)

type Params = ReturnType<typeof grammar.parse>

/** Entries behind the cursor that the session gets at all, so that a page is cut after the filters, not before. */
async function* admitted(p: Params, ports: Ports, { session, signal }: Call): AsyncGenerator<CommitEntry> {
  const who = session.identity
  const pattern = p.pattern === undefined ? undefined : ports.pattern(p.pattern)
  const until = p.skipDeletesUntil ?? -1
  let withheld: CommitEntry | undefined
  for await (const entry of inTurns(ports.commits.entries(p.after), ports.clock, signal)) {
    withheld = undefined
    if (!isSynced(entry.key, who, pattern)) continue
    if (entry.operation === '-' && entry.commitId <= until) withheld = entry
    else yield entry
  }
  // The newest entry of the log goes out even when it is such a delete, or the client's cursor would stay behind it.
  if (withheld !== undefined) yield withheld
}

/** The present record, undefined when it is gone or damaged: then there is nothing to send. */
async function recordOf(ports: Ports, key: string): Promise<StoredRecord | undefined> {
  try {
    return await ports.records.get(key)
  } catch (error) {
    if (error instanceof AtError && error.code === 'AT0002') return undefined
    throw error
  }
}

/** An entry as JSON, its members in the order of page 04, section 2; undefined when its record is gone. */
async function entryText(ports: Ports, { key, commitId, operation }: CommitEntry): Promise<string | undefined> {
  if (operation === '-') return jsonLine({ atKey: key, value: null, metadata: null, commitId, operation })
  const record = await recordOf(ports, key)
  if (record === undefined) return undefined
  const metadata = metadataTexts(record.metadata)
  return jsonLine({ atKey: key, value: record.value, metadata, commitId, operation })
}

export const sync = defineVerb({
  name: 'sync:from',
  summary: 'Read the changes after a commit id, one page at a time.',
  grammar,
  admits: ['owner'],
  async run(p, ports, call) {
    const limit = p.limit || limits.syncPageLimit
    const page: string[] = []
    let bytes = 0
    for await (const entry of admitted(p, ports, call)) {
      const text = await entryText(ports, entry)
      if (text === undefined) continue
      bytes += Buffer.byteLength(text)
      if (bytes > limits.pageBytes && page.length > 0) break
      page.push(text)
      if (page.length >= limit || bytes > limits.pageBytes) break
    }
    return data(`[${page.join(',')}]`)
  },
  examples: [
    'sync:from:-1',
    'sync:from:11:limit:10',
    'sync:from:12:limit:10:skipDeletesUntil:40:.wavi',
    'sync:from:0:^@bob:phone',
  ],
})
