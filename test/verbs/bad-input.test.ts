import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { catalogue, isErrorCode } from '../../src/core/errors.ts'
import { limits } from '../../src/core/limits.ts'
import { type AnyVerb, verbs } from '../../src/verbs/table.ts'
import { asPrimary, type Client, raw, startServer, type TestServer } from '../support/server.ts'
import { badLines } from './bad-lines.ts'

interface BadLine {
  readonly verb: string
  readonly kind: string
  /** Digits of the refusing code, or `none`. */
  readonly code: string
  readonly line: string
}

const rows: BadLine[] = badLines
  .split('\n')
  .filter((row) => row !== '')
  .map((row) => {
    const [, verb = '', kind = '', code = '', line = ''] = /^(\S+) +(\S+) +(\S+) +(.*)$/.exec(row) ?? []
    return { verb, kind, code, line }
  })
const short = (line: string): string => (line.length > 60 ? `${line.slice(0, 60)}…` : line)
const all = [...verbs.values()]

/** Their lines end a login, so they are sent where there is none. */
const logins = new Set(['from', 'cram', 'pkam', 'pol'])

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer()
  owner = await asPrimary(alice)
  await owner.ask('update:kept.wavi@alice kept')
  await owner.ask(`update:public:${'a'.repeat(200)}.wavi@alice kept`)
  await owner.ask('notify:id:kept:@alice:kept.wavi@alice:v')
})

/** Everything that is on flash, as one number. */
async function stored(): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of alice.server.content.snapshot()) hash.update(chunk)
  return hash.digest('hex')
}

const oneReply = /^(data:|error:AT\d{4}[-:][^\n\r\u0085\u2028\u2029\u0000]{12,300}\n)/u

/** The refusing code of a reply, or of the one command in a batch. */
const codeIn = (reply: string): string | undefined =>
  /^error:(AT\d{4})/.exec(reply)?.[1] ?? /^data:\[.*"error_code":"(AT\d{4})"/.exec(reply)?.[1]

/**
 * Sends a line and expects one whole reply, a session that goes on working and, behind a refusal, a store as it was.
 * @returns the refusing code's digits, or the accepted reply
 */
async function sent({ name }: Pick<AnyVerb, 'name'>, line: string | Uint8Array): Promise<string> {
  const client = logins.has(name) ? await raw(alice) : owner
  const before = await stored()
  client.write(Buffer.concat([Buffer.from(line), Buffer.from('\n')]))
  const reply = await client.reply()
  expect(reply).toMatch(oneReply)
  if (client === owner) expect(await client.ask('llookup:kept.wavi@alice')).toBe('data:kept\n@alice@')
  else expect(await client.ask('noop:0')).toBe('data:ok\n@')
  if (client !== owner) client.leave()
  const code = codeIn(reply)
  if (code === undefined) return reply
  expect([code, isErrorCode(code) && !catalogue[code].closes]).toEqual([code, true])
  expect(await stored()).toBe(before)
  return String(Number(code.slice(2)))
}

describe.each(all)('$name', (verb) => {
  const own = rows.filter(({ verb: name, code }) => name === verb.name && code !== 'none')

  test.each(own.map(({ kind, line, code }) => [kind, short(line), code, line] as const))(
    '%s: %j is AT%s',
    async (_kind, _short, code, line) => {
      expect(await sent(verb, line)).toBe(code)
    },
  )
})

/** The verb's name and first example, with something put in behind the one and into the middle of the other. */
function spoilt({ name, examples }: AnyVerb, junk: string | Uint8Array): Buffer[] {
  const [example = name] = examples
  const middle = Math.max(name.length, Math.floor(example.length / 2))
  return [
    Buffer.concat([Buffer.from(`${name}:`), Buffer.from(junk)]),
    Buffer.concat([Buffer.from(example.slice(0, middle)), Buffer.from(junk), Buffer.from(example.slice(middle))]),
  ]
}

describe.each(all)('$name with', (verb) => {
  test.each([
    ['a NUL', '\u0000'],
    ['a CR inside', 'x\rx'],
    ['a next line (U+0085) inside', 'x\u0085x'],
    ['a line separator (U+2028) inside', 'x\u2028x'],
    ['a tab', 'x\tx'],
    ['15 KB of colons', ':'.repeat(15_000)],
    ['15 KB of blanks', `x${' '.repeat(15_000)}x`],
    ['15 KB of @', '@'.repeat(15_000)],
    ['15 KB of commas', ','.repeat(15_000)],
    ['JSON nested 2,000 deep', `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`],
    ['arrays nested 7,000 deep', `${'['.repeat(7_000)}${']'.repeat(7_000)}`],
    ['a number no computer knows', '9'.repeat(400)],
  ])('%s', async (_name, junk) => {
    // Any text without control characters may be a regex.
    const expected = verb.name === 'notify:list' && /^\d+$/.test(junk) ? /^(\d+$|data:\[)/ : /^\d+$/
    for (const line of spoilt(verb, junk)) expect(await sent(verb, line)).toMatch(expected)
  })

  test.each([
    ['a lone surrogate', [0xed, 0xa0, 0xbd]],
    ['half a character', [0xf0, 0x9f, 0xa6]],
    ['a byte that UTF-8 does not have', [0xff]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a code point beyond the last', [0xf4, 0x90, 0x80, 0x80]],
  ])('%s', async (_name, bytes) => {
    for (const line of spoilt(verb, Uint8Array.from(bytes))) expect(await sent(verb, line)).toBe('3')
  })

  test.each([
    ['64 KB of colons', ':'.repeat(65_536)],
    ['objects nested 10,000 deep', `:${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
    ['arrays nested 10,000 deep', `:${'['.repeat(10_000)}${']'.repeat(10_000)}`],
  ])('%s: an owner is answered, the connection of a stranger closes', async (_name, junk) => {
    const stranger = await raw(alice)
    stranger.write(`${verb.name}${junk}`)
    expect(await stranger.closed).toMatch(/^error:AT0005-[^\n]*\n@$/)
    if (!logins.has(verb.name)) expect(await sent(verb, `${verb.name}${junk}`)).toMatch(/^\d+$/)
  })
})

test.each(all.filter(({ name }) => !logins.has(name)))('$name with 10 MB behind it', async (verb) => {
  expect(
    await sent(verb, Buffer.alloc(limits.lineBytes - 1, 'x').fill(`${verb.name}:`, 0, verb.name.length + 1)),
  ).toMatch(/^\d+$/)
})

describe('a value', () => {
  const flags = '"isPublic":false,"isBinary":false,"isEncrypted":false'
  test.each(['\\u0000', '\\n', '\\r', '\\u0085', '\\u2028', '\\u2029'])('of JSON holds no %s', async (escaped) => {
    const document = `{"atKey":"x.wavi@alice","value":"a${escaped}b","metadata":{${flags}}}`
    expect(await sent({ name: 'update' }, `update:json:${document}`)).toBe('3')
    expect(await sent({ name: 'batch' }, `batch:[{"id":1,"command":"update:x.wavi@alice a${escaped}b"}]`)).toBe('3')
  })

  test('of JSON may be as long as a line, and one byte more closes the connection', async () => {
    const line = (length: number): string => {
      const head = `update:json:{"atKey":"long.wavi@alice","metadata":{${flags}},"value":"`
      return `${head}${'x'.repeat(length - head.length - 3)}"}`
    }
    const writer = await asPrimary(alice)
    expect(await writer.ask(line(limits.lineBytes))).toMatch(/^data:\d+\n@alice@$/)
    writer.write(`${line(limits.lineBytes + 1)}\n`)
    expect(await writer.closed).toMatch(/^error:AT0005-[^\n]*\n@alice@$/)
  })
})

describe('a regex that would backtrack for ever', () => {
  const patterns = ['(a+)+$', '(a|aa)+$', '^(public:)?(a|a?)+$', '(.*a){12}b']
  const lines = [
    'scan %',
    'scan:cl %',
    'scan:showhidden:true %',
    'stats:3:%',
    'stats:15:%',
    'sync:from:-1:%',
    'notify:list:%',
  ]
  test.each(lines)('%s is answered', async (line) => {
    for (const pattern of patterns) expect(await owner.ask(line.replace('%', pattern))).toMatch(/^data: ?\[/)
  })

  test('is answered to a stranger, and a monitor with it goes on', async () => {
    const [stranger, watcher] = [await raw(alice), await asPrimary(alice)]
    for (const pattern of patterns) {
      expect(await stranger.ask(`scan ${pattern}`)).toMatch(/^data:\[/)
      watcher.write(`monitor ${pattern}\nnoop:0\n`)
      await watcher.take(/^data:ok\n/)
      await owner.ask(`notify:@alice:${'a'.repeat(200)}.wavi@alice:v`)
      watcher.write('noop:0\n')
      await watcher.take(/^(?:notification: .*\n)*data:ok\n/)
    }
  })
})

test('every verb has lines of every kind', () => {
  const has = (verb: string, kind: string): boolean => rows.some((row) => row.verb === verb && row.kind === kind)
  const lacking = [...verbs.keys()].flatMap((verb) =>
    ['missing', 'surplus', 'type', 'range'].filter((kind) => !has(verb, kind)).map((kind) => `${verb}: ${kind}`),
  )
  expect(lacking).toEqual([])
})
